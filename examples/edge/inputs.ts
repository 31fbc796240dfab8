/** A request's body as inputs: JSON, or little-endian float32, row after row. */
import type { Cell } from "antler";
import { Refusal, show } from "./refusal.ts";
import type { Settings } from "./settings.ts";

export interface Sequence {
  /** `[steps, inputSize]`, row-major. */
  readonly inputs: Float32Array;
  readonly steps: number;
  /** `[stateSize]` */
  readonly initialState: Float32Array;
}

export const inputTypes = ["application/json", "application/octet-stream"] as const;
export type InputType = (typeof inputTypes)[number];

/** @throws Refusal for a body of another type, or a compressed one. */
export function inputTypeOf(request: Request): InputType {
  const given = request.headers.get("content-type");
  const [type, ...parameters] = (given ?? "").toLowerCase().split(";");
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith("charset="));
  const known = inputTypes.find((name) => name === type.trim());
  const inUtf8 = !charset || /^charset="?utf-?8"?$/.test(charset);
  if (!known || !inUtf8) {
    throw new Refusal(
      415,
      "unsupported-media-type",
      { field: "Content-Type", expected: inputTypes.join(" or "), got: given ?? "none" },
      { accept: inputTypes.join(", ") },
    );
  }
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    const field = "Content-Encoding";
    const details = { field, expected: "an uncompressed body", got: encoding };
    throw new Refusal(415, "unsupported-encoding", details, { "accept-encoding": "identity" });
  }
  return known;
}

/** @throws Refusal naming the field that is wrong. */
export function readSequence(
  type: InputType,
  body: Uint8Array<ArrayBuffer>,
  query: URLSearchParams,
  cell: Cell,
  settings: Settings,
): Sequence {
  return type === "application/json"
    ? fromJson(body, cell, settings)
    : fromBytes(body, query, cell, settings);
}

function fromJson(body: Uint8Array, cell: Cell, { maxSteps }: Settings): Sequence {
  let request: unknown;
  try {
    request = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    const got = error instanceof Error ? error.message : String(error);
    throw new Refusal(400, "bad-json", { field: "body", expected: "JSON in UTF-8", got });
  }
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw unfit("body", "an object with `inputs`", request);
  }
  const { inputs: rows, initialState, ...others } = request as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) {
    throw unfit("body", "only `inputs` and `initialState`", unknown);
  }
  if (!Array.isArray(rows)) {
    throw unfit("inputs", `an array of rows of ${cell.inputSize} numbers`, rows);
  }
  checkSteps(rows.length, maxSteps);
  const inputs = new Float32Array(rows.length * cell.inputSize);
  rows.forEach((row, t) => {
    copyNumbers(row, cell.inputSize, `inputs[${t}]`, inputs, t * cell.inputSize);
  });
  const initial = new Float32Array(cell.stateSize);
  if (initialState !== undefined) {
    copyNumbers(initialState, cell.stateSize, "initialState", initial, 0);
  }
  return { inputs, steps: rows.length, initialState: initial };
}

function fromBytes(
  body: Uint8Array<ArrayBuffer>,
  query: URLSearchParams,
  cell: Cell,
  { maxSteps }: Settings,
): Sequence {
  for (const name of query.keys()) {
    if (name === "steps" || name === "initialState") continue;
    const expected = "only `steps` and `initialState`";
    throw new Refusal(400, "bad-query", { field: "query", expected, got: show(name) });
  }
  const bytesPerStep = 4 * cell.inputSize;
  const declared = query.get("steps");
  const steps = declared === null ? body.length / bytesPerStep : Number(declared);
  if (declared !== null && (!Number.isInteger(steps) || steps < 1)) {
    throw unfit("steps", "a positive integer", declared);
  }
  if (!Number.isInteger(steps) || steps * bytesPerStep !== body.length) {
    const expected =
      declared === null
        ? `a multiple of ${bytesPerStep} bytes, ${cell.inputSize} float32 a step`
        : `${steps * bytesPerStep} bytes, ${steps} steps of ${cell.inputSize} float32`;
    throw unfit("body", expected, `${body.length} bytes`, (text) => text as string);
  }
  checkSteps(steps, maxSteps);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const inputs = Float32Array.from({ length: steps * cell.inputSize }, (_, i) =>
    view.getFloat32(4 * i, true),
  );
  const bad = inputs.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const field = `inputs[${Math.floor(bad / cell.inputSize)}][${bad % cell.inputSize}]`;
    throw unfit(field, "a finite number", inputs[bad]);
  }
  const initialState = new Float32Array(cell.stateSize);
  const given = query.get("initialState");
  if (given !== null) {
    const numbers = given.split(",").map((text) => {
      const number = text.trim() === "" ? Number.NaN : Number(text);
      return Number.isNaN(number) ? text : number;
    });
    copyNumbers(numbers, cell.stateSize, "initialState", initialState, 0);
  }
  return { inputs, steps, initialState };
}

function checkSteps(steps: number, most: number): void {
  if (steps === 0) throw unfit("inputs", "at least one row", 0);
  if (steps > most) {
    const details = { field: "inputs", expected: `${most} rows at most`, got: `${steps}` };
    throw new Refusal(413, "too-many-steps", details);
  }
}

/** Copies `count` numbers that float32 can hold. */
function copyNumbers(
  numbers: unknown,
  count: number,
  field: string,
  target: Float32Array,
  offset: number,
): void {
  if (!Array.isArray(numbers) || numbers.length !== count) {
    throw unfit(field, `an array of ${count} numbers`, numbers);
  }
  for (let i = 0; i < count; i++) {
    const value: unknown = numbers[i];
    target[offset + i] = value as number;
    if (typeof value !== "number" || !Number.isFinite(target[offset + i])) {
      throw unfit(`${field}[${i}]`, "a number within the range of float32", value);
    }
  }
}

function unfit(field: string, expected: string, got: unknown, say = show): Refusal {
  return new Refusal(422, "unfit-inputs", { field, expected, got: say(got) });
}
