/**
 * CodeMirror, loaded when a visitor writes a cell. It lives in a shadow root, where it adopts its style
 * sheets; in the document it would add style elements, which the page's policy refuses.
 */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
import { type Diagnostic, linter, lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export interface Editor {
  /** Replaces the text, without telling `onChange`. */
  setText(text: string): void;
  /** Marks a line, from 1, with what is wrong there; null takes the mark away. */
  mark(problem: { line: number; message: string } | null): void;
  focus(): void;
  destroy(): void;
}

export interface EditorOptions {
  readonly text: string;
  readonly label: string;
  readonly onChange: (text: string) => void;
}

/** Colours come from the page's style sheet, whose variables reach into the shadow root. */
const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "0.85rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { caretColor: "var(--text)", fontFamily: "ui-monospace, monospace" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { color: "var(--muted)", backgroundColor: "var(--surface)", border: "none" },
  ".cm-scroller": { fontFamily: "ui-monospace, monospace", maxHeight: "26rem" },
  ".cm-selectionBackground, &.cm-focused .cm-selectionBackground": {
    background: "var(--selection) !important",
  },
  ".cm-matchingBracket": { background: "var(--selection)", outline: "none" },
  ".cm-tooltip": {
    color: "var(--text)",
    backgroundColor: "var(--surface)",
    border: "1px solid var(--line)",
  },
});

const highlighting = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)" },
  { tag: [tags.string, tags.number, tags.bool], color: "var(--code-literal)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-name)" },
]);

/** The first place at which the text is no JavaScript. */
function findSyntaxError(view: EditorView): Diagnostic[] {
  let found: Diagnostic | null = null;
  syntaxTree(view.state).iterate({
    enter: (node) => {
      if (found || !node.type.isError) return;
      const { from } = node;
      const to = Math.max(node.to, Math.min(from + 1, view.state.doc.length));
      found = { from, to, severity: "error", message: "This is not JavaScript." };
    },
  });
  return found ? [found] : [];
}

export function createEditor(host: HTMLElement, options: EditorOptions): Editor {
  let replacing = false;
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        history(),
        indentOnInput(),
        bracketMatching(),
        // Tab moves on, as everywhere on the page: nobody is to be trapped in here.
        keymap.of([...defaultKeymap, ...historyKeymap]),
        javascript(),
        syntaxHighlighting(highlighting),
        lintGutter(),
        linter(findSyntaxError, { delay: 500 }),
        theme,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": options.label }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !replacing) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setText(text) {
      if (text === view.state.doc.toString()) return;
      replacing = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
      replacing = false;
    },
    mark(problem) {
      const { doc } = view.state;
      const marks: Diagnostic[] = [];
      if (problem) {
        const line = doc.line(Math.min(problem.line, doc.lines));
        const to = Math.max(line.to, Math.min(line.from + 1, doc.length));
        marks.push({ from: line.from, to, severity: "error", message: problem.message });
      }
      view.dispatch(setDiagnostics(view.state, marks));
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
