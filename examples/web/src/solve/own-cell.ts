/**
 * A cell that a visitor wrote: code that returns what `defineCell` makes. It is evaluated in the solver's
 * worker and nowhere else, and only after Run was pressed.
 */
import * as antler from "antler";
import { mulberry32, uniform } from "../../../../tests/support/random.ts";
import { VOCABULARY } from "./example-cell.ts";

export interface OwnCellSizes {
  readonly hiddenSize: number;
  readonly inputSize: number;
  readonly gain: number;
  readonly seed: number;
}

/** The code is wrong: shown at its place in the editor. */
export class OwnCellError extends Error {
  override readonly name = "OwnCellError";
  constructor(
    message: string,
    /** Line of the code, from 1; null where the engine does not tell. */
    readonly line: number | null,
  ) {
    super(message);
  }
}

/** @throws OwnCellError whatever is wrong with the code. */
export function makeOwnCell(code: string, sizes: OwnCellSizes): antler.Cell {
  const { hiddenSize, inputSize, gain, seed } = sizes;
  const random = mulberry32(seed);
  const scale = gain / Math.sqrt(hiddenSize);
  const weight = (...shape: number[]) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    return { shape, data: uniform(random, length, -scale, scale) };
  };
  const scope: Record<string, unknown> = { hiddenSize, inputSize, weight };
  // biome-ignore lint/performance/noDynamicNamespaceImportAccess: all of them are wanted
  for (const name of VOCABULARY) scope[name] = antler[name];
  let cell: unknown;
  try {
    const names = Object.keys(scope);
    const body = new Function(...names, `"use strict";\n${code}`);
    cell = body(...names.map((name) => scope[name]));
  } catch (error) {
    throw new OwnCellError(describe(error), lineOf(error));
  }
  if (typeof cell !== "object" || cell === null || !("graph" in cell)) {
    const got = cell === undefined ? "nothing" : `a ${typeof cell}`;
    throw new OwnCellError(`expected the code to return defineCell({ … }), got ${got}`, null);
  }
  return cell as antler.Cell;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `the code threw ${String(error)}`;
  if (error.name === "EvalError") {
    const cure = "cells of your own need 'unsafe-eval' for the worker's files";
    return `this site's Content-Security-Policy forbids code from text (${cure}): ${error.message}`;
  }
  return error.name === "Error" ? error.message : `${error.name}: ${error.message}`;
}

/** Lines that an engine counts before the code's first: the parameters, and "use strict". */
let linesBefore: number | null = null;

/** From "<anonymous>:5:3" (V8, JavaScriptCore has none) or "Function:5:3" (SpiderMonkey) in a stack. */
function lineOf(error: unknown): number | null {
  const line = stackLine(error);
  if (line === null) return null;
  if (linesBefore === null) {
    try {
      new Function("a", `"use strict";\nthrow new Error()`)();
    } catch (probe) {
      linesBefore = (stackLine(probe) ?? 1) - 1;
    }
  }
  const own = line - (linesBefore ?? 0);
  return own >= 1 ? own : null;
}

function stackLine(error: unknown): number | null {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const match = /(?:<anonymous>|Function):(\d+):\d+/.exec(stack);
  return match ? Number(match[1]) : null;
}
