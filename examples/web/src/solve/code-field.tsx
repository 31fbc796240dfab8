/** Where a visitor writes a cell, and reads what is wrong with it. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Editor } from "./editor.ts";
import { EXAMPLE_CELL, VOCABULARY } from "./example-cell.ts";

interface CodeFieldProps {
  readonly code: string;
  readonly onChange: (code: string) => void;
  readonly error: { readonly message: string; readonly line: number | null } | null;
  /** Whether the code came with the address of the page. */
  readonly fromLink: boolean;
}

const LABEL = "Code of the cell";

export function CodeField({ code, onChange, error, fromLink }: CodeFieldProps) {
  const hint = useId();
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const [ready, setReady] = useState(false);
  const change = useRef(onChange);
  change.current = onChange;

  useEffect(() => {
    let gone = false;
    import("./editor.ts").then(({ createEditor }) => {
      if (gone) return;
      editor.current = createEditor(host.current!, {
        text: code,
        label: LABEL,
        onChange: (text) => change.current(text),
      });
      setReady(true);
    });
    return () => {
      gone = true;
      editor.current?.destroy();
    };
  }, []);
  useEffect(() => editor.current?.setText(code), [code, ready]);
  useEffect(() => {
    const line = error?.line ?? null;
    editor.current?.mark(error && line !== null ? { line, message: error.message } : null);
  }, [error?.message, error?.line, ready]);

  return (
    <div class={error ? "code wrong" : "code"}>
      <div class="code-head">
        <h2>{LABEL}</h2>
        <button type="button" class="small" onClick={() => onChange(EXAMPLE_CELL)}>
          Back to the example
        </button>
      </div>
      {fromLink && (
        <p class="notice">
          This code came with the link. Nothing of it has run: read it before you press Run.
        </p>
      )}
      <div ref={host} class="editor" />
      <div role="alert">
        {error && (
          <p class="failure">
            {error.line !== null && <strong>Line {error.line}: </strong>}
            {error.message}
          </p>
        )}
      </div>
      <p class="hint" id={hint}>
        JavaScript that returns a cell; it runs in a worker when you press Run. In scope:{" "}
        {VOCABULARY.join(", ")}.
      </p>
    </div>
  );
}
