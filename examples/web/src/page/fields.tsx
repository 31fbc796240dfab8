/** Labelled form fields with hints and errors that are read out with them. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly hint?: string;
  readonly error?: string;
}

interface FrameProps extends Pick<FieldProps, "label" | "hint" | "error"> {
  readonly id: string;
  readonly children: ComponentChildren;
}

function Frame({ id, label, hint, error, children }: FrameProps) {
  return (
    <div class={error ? "field wrong" : "field"}>
      <label for={id}>{label}</label>
      {children}
      {error && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

function described(id: string, { hint, error }: Pick<FieldProps, "hint" | "error">) {
  const ids = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  return ids === "" ? {} : { "aria-describedby": ids };
}

export function NumberField({ label, value, onChange, hint, error }: FieldProps) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error}>
      <input
        id={id}
        type="text"
        inputMode="decimal"
        autocomplete="off"
        spellcheck={false}
        value={value}
        aria-invalid={error ? "true" : undefined}
        {...described(id, { hint, error })}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </Frame>
  );
}

interface SelectProps extends FieldProps {
  readonly options: Readonly<Record<string, string>>;
  /** Options that cannot be chosen here, and why. */
  readonly disabled?: Readonly<Record<string, string>>;
}

export function SelectField({
  label,
  value,
  onChange,
  hint,
  error,
  options,
  disabled = {},
}: SelectProps) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error}>
      <select
        id={id}
        value={value}
        aria-invalid={error ? "true" : undefined}
        {...described(id, { hint, error })}
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {Object.entries(options).map(([option, text]) => (
          <option key={option} value={option} disabled={option in disabled}>
            {option in disabled ? `${text} (not available)` : text}
          </option>
        ))}
      </select>
    </Frame>
  );
}

interface CheckProps {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
  readonly hint?: string;
  readonly disabled?: boolean;
}

export function CheckField({ label, checked, onChange, hint, disabled = false }: CheckProps) {
  const id = useId();
  return (
    <div class="field check">
      <label for={id}>
        <input
          id={id}
          type="checkbox"
          checked={checked}
          disabled={disabled}
          {...described(id, { hint })}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
        <span>{label}</span>
      </label>
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}
