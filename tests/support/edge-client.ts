/** Speaks to the service of examples/edge, and knows what it should answer. */
import { type Cell, createRuntime, gru } from "antler";
import model from "../../examples/edge/model.json" with { type: "json" };
import { mulberry32, normal } from "./random.ts";

export const { inputSize, hiddenSize } = model;

/** The example's model, made from its file by other code than the example's. */
export function edgeCell(): Cell {
  const weights = Object.fromEntries(
    Object.entries(model.weights).map(([name, rows]) => [name, Float32Array.from(rows.flat())]),
  );
  return gru({ inputSize, hiddenSize, weights } as Parameters<typeof gru>[0]);
}

export interface Problem {
  readonly steps: number;
  /** `[steps, inputSize]` */
  readonly inputs: Float32Array;
  readonly initialState: Float32Array | null;
  /** `[steps, hiddenSize]`, of the float64 reference. */
  readonly expected: Float64Array;
}

/** @param stateless whether to begin from zeros, and say nothing of it. */
export async function edgeProblem(
  steps: number,
  seed: number,
  stateless = false,
): Promise<Problem> {
  const random = mulberry32(seed);
  const inputs = normal(random, steps * inputSize);
  const initialState = stateless
    ? null
    : Float32Array.from({ length: hiddenSize }, () => 2 * random() - 1);
  const runtime = await createRuntime({ backend: "reference" });
  try {
    const { states } = await runtime.evaluate(edgeCell(), inputs, {
      ...(initialState && { initialState }),
    });
    return { steps, inputs, initialState, expected: states };
  } finally {
    runtime.dispose();
  }
}

export function rowsOf(numbers: Float32Array, width: number): number[][] {
  return Array.from({ length: numbers.length / width }, (_, t) =>
    Array.from(numbers.subarray(t * width, (t + 1) * width)),
  );
}

export function jsonBody({ inputs, initialState }: Problem): string {
  return JSON.stringify({
    inputs: rowsOf(inputs, inputSize),
    ...(initialState && { initialState: Array.from(initialState) }),
  });
}

/** Little-endian whatever this machine is. */
export function binaryBody({ inputs }: Problem): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(4 * inputs.length));
  inputs.forEach((value, i) => {
    view.setFloat32(4 * i, value, true);
  });
  return new Uint8Array(view.buffer);
}

export interface Answer {
  readonly states: number[];
  /** The step each piece begins with. */
  readonly pieces: number[];
  readonly report: Record<string, unknown> | null;
  readonly finalState: number[] | null;
  readonly error: Record<string, unknown> | null;
}

/** @throws Error where the text is not what the README says of it. */
export function readLines(text: string): Answer {
  if (!text.endsWith("\n")) throw new Error(`no end of line: ...${text.slice(-60)}`);
  const states: number[] = [];
  const pieces: number[] = [];
  const lines = text.slice(0, -1).split("\n");
  const last = JSON.parse(lines.pop()!);
  for (const line of lines) {
    const piece = JSON.parse(line) as { from: number; states: number[][] };
    if (piece.from * hiddenSize !== states.length) throw new Error(`out of order: ${piece.from}`);
    pieces.push(piece.from);
    for (const row of piece.states) {
      if (row.length !== hiddenSize) throw new Error(`a row of ${row.length}`);
      for (const value of row) states.push(value);
    }
  }
  const { report = null, finalState = null, error = null } = last;
  return { states, pieces, report, finalState, error };
}

/** @throws Error where the bytes are not what the README says of them. */
export function readFrames(bytes: Uint8Array): Answer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const states: number[] = [];
  const pieces: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length;
    if (end > bytes.length) throw new Error(`a frame of ${length} bytes is cut short`);
    if (kind === 1) {
      pieces.push(states.length / hiddenSize);
      for (let i = at + 8; i < end; i += 4) states.push(view.getFloat32(i, true));
    } else {
      if (end !== bytes.length) throw new Error("more frames after the last");
      const json = JSON.parse(new TextDecoder().decode(bytes.subarray(at + 8, end)));
      const { report = null, finalState = null, error = null } = json;
      return { states, pieces, report, finalState, error };
    }
    at = end;
  }
  throw new Error("no last frame");
}

/** What is wrong with a complete answer, or null. */
export function faultOf(answer: Answer, { steps, expected }: Problem): string | null {
  const { states, report, finalState, error } = answer;
  if (error) return `error: ${JSON.stringify(error)}`;
  if (states.length !== expected.length) return `${states.length} numbers`;
  const worst = states.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  if (!(worst <= 1e-5)) return `off by ${worst}`;
  if (report?.steps !== steps || report.converged !== true) return JSON.stringify(report);
  const last = states.slice(-hiddenSize);
  const same = finalState?.length === last.length && last.every((value, i) => near(value, i));
  return same ? null : "the final state is not the last state";
  // The final state is written with nine digits.
  function near(value: number, i: number) {
    return Math.abs(value - finalState![i]) <= 1e-8;
  }
}
