/** Copies a text; where the clipboard is out of reach, it is there to be selected. */
import { useRef, useState } from "preact/hooks";

interface CopyButtonProps {
  readonly label: string;
  readonly text: () => string;
}

export function CopyButton({ label, text }: CopyButtonProps) {
  const [message, setMessage] = useState("");
  const [fallback, setFallback] = useState<string | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const copy = async () => {
    const value = text();
    setMessage("");
    try {
      await navigator.clipboard.writeText(value);
      setFallback(null);
      setMessage("Copied.");
    } catch {
      setFallback(value);
      setMessage("The clipboard is out of reach: the text below is selected, copy it from there.");
      requestAnimationFrame(() => area.current?.select());
    }
  };
  return (
    <div class="copy">
      <button type="button" onClick={copy}>
        {label}
      </button>
      <span role="status">{message}</span>
      {fallback !== null && (
        <textarea ref={area} readOnly rows={8} value={fallback} aria-label={`${label}: the text`} />
      )}
    </div>
  );
}
