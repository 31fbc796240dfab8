/** The settings of a solve. */
import type { BackendStatus } from "antler";
import { CheckField, NumberField, SelectField } from "../page/fields.tsx";
import {
  BACKEND_NAMES,
  CELL_NAMES,
  JACOBIAN_NAMES,
  METHOD_NAMES,
  type NumberSetting,
  type SettingErrors,
  type SettingName,
  type SettingTexts,
} from "./settings.ts";
import { describeAdapter } from "./words.ts";

interface FormProps {
  readonly texts: SettingTexts;
  readonly errors: SettingErrors;
  readonly onChange: (changes: Partial<Record<SettingName, string>>) => void;
  /** Null until the worker has told. */
  readonly backends: readonly BackendStatus[] | null;
}

export function SettingsForm({ texts, errors, onChange, backends }: FormProps) {
  const parallel =
    texts.method !== "sequential" && texts.method !== "threads" && texts.method !== "auto";
  const number = (name: NumberSetting, label: string, hint?: string) => (
    <NumberField
      label={label}
      value={texts[name]}
      error={errors[name]}
      {...(hint && { hint })}
      onChange={(value) => onChange({ [name]: value })}
    />
  );
  const select = (
    name: SettingName,
    label: string,
    options: Readonly<Record<string, string>>,
    more: { hint?: string; disabled?: Readonly<Record<string, string>> } = {},
  ) => (
    <SelectField
      label={label}
      value={texts[name]}
      options={options}
      error={errors[name]}
      onChange={(value) => onChange({ [name]: value })}
      {...more}
    />
  );
  const isLorenz = texts.cell === "lorenz96";
  const readsInput = !isLorenz && texts.cell !== "autoregressive-gru";
  return (
    <>
      <fieldset>
        <legend>Recurrence</legend>
        {select("cell", "Cell", CELL_NAMES)}
        <div class="pair">
          {number("hiddenSize", "Size")}
          {number("steps", "Time steps")}
        </div>
        <div class="pair">
          {isLorenz
            ? number("forcing", "Forcing", "Chaotic from about 5 on")
            : number("gain", "Weight gain", "Higher is harder to solve")}
          {number("seed", "Seed")}
        </div>
        {readsInput && number("inputSize", "Input size")}
      </fieldset>
      <fieldset>
        <legend>Method</legend>
        {select("method", "Method", METHOD_NAMES)}
        {texts.method === "threads" && (
          <>
            {number("threads", "Threads", "Empty: as many as this device has cores, up to 8")}
            <CheckField
              label="Exact"
              checked={texts.exact === "yes"}
              onChange={(checked) => onChange({ exact: checked ? "yes" : "no" })}
              hint="Chunks merge only where every bit is that of sequential evaluation"
            />
          </>
        )}
        {parallel && (
          <>
            <div class="pair">
              {number("chunk", "Steps a chunk", "1 is the published method")}
              {number("damping", "Damping λ", "Empty: the method’s own")}
            </div>
            {select("jacobian", "Jacobian", JACOBIAN_NAMES)}
            <div class="pair">
              {number("tolerance", "Tolerance")}
              {number("maxIterations", "Most sweeps")}
            </div>
            <CheckField
              label="Trust region"
              checked={texts.trustRegion === "yes"}
              onChange={(checked) => onChange({ trustRegion: checked ? "yes" : "no" })}
              hint="Adapts λ from sweep to sweep"
            />
          </>
        )}
      </fieldset>
      <fieldset>
        <legend>Backend</legend>
        {select("backend", "Runs on", BACKEND_NAMES, { disabled: reasons(backends) })}
        <BackendNotes backends={backends} />
      </fieldset>
    </>
  );
}

/** Which backends are not to be had, and why. */
export function reasons(backends: readonly BackendStatus[] | null): Record<string, string> {
  const missing = (backends ?? []).filter(({ available }) => !available);
  return Object.fromEntries(missing.map(({ name, reason }) => [name, reason ?? "not available"]));
}

export function BackendNotes({ backends }: { backends: readonly BackendStatus[] | null }) {
  if (!backends) return <p class="hint">Looking for what this device has …</p>;
  const gpu = backends.find(({ adapter }) => adapter)?.adapter;
  return (
    <>
      {Object.entries(reasons(backends)).map(([name, reason]) => (
        <p key={name} class="hint">
          {BACKEND_NAMES[name as keyof typeof BACKEND_NAMES]} is not available: {reason}
        </p>
      ))}
      {gpu && <p class="hint">GPU: {describeAdapter(gpu)}</p>}
    </>
  );
}
