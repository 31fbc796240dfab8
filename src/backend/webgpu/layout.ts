/** Offsets in the structures of gpu/shared/problem.wgsl, read from that file: it is their only definition. */
import { shaders } from "./generated/shaders.ts";

export interface StructureLayout<Field extends string> {
  /** Index of each field, in 32-bit words. */
  readonly word: Readonly<Record<Field, number>>;
  /** Words of the whole structure. */
  readonly words: number;
}

function layoutOf<Field extends string>(name: string): StructureLayout<Field> {
  const source = shaders["shared/problem.wgsl"]!;
  const body = new RegExp(`struct ${name} ?\\{([^}]*)\\}`).exec(source)![1]!;
  const fields = [...body.matchAll(/^\s*(\w+): ?(?:u32|f32),/gm)].map(([, field]) => field!);
  const word = Object.fromEntries(fields.map((field, index) => [field, index]));
  return { word: word as Record<Field, number>, words: fields.length };
}

function constantOf(name: string): number {
  const pattern = new RegExp(`const ${name} ?= ?(\\d+)u;`);
  return Number(pattern.exec(shaders["shared/problem.wgsl"]!)![1]);
}

export const problemLayout = layoutOf<
  | "sequences"
  | "chunks"
  | "chunkLength"
  | "rows"
  | "errorChunks"
  | "errorChunkLength"
  | "reverse"
  | "maxIterations"
  | "clip"
  | "smoother"
  | "trustRegion"
  | "measureTile"
  | "measureTiles"
  | "certifyFailure"
  | "keep"
  | "tolerance"
  | "unitRoundoff"
>("Problem");

export const sequenceLayout = layoutOf<
  | "firstRow"
  | "length"
  | "firstChunk"
  | "chunks"
  | "firstErrorChunk"
  | "errorChunks"
  | "phase"
  | "exactChunks"
  | "action"
  | "iterations"
  | "finite"
  | "reason"
  | "certificateSweeps"
  | "continued"
  | "residual"
  | "lambda"
  | "acceptedMerit"
  | "retryBelow"
  | "lastEstimate"
  | "certificateResidual"
  | "errorEstimate"
>("Sequence");

export const phases = {
  sweeping: constantOf("SWEEPING"),
  certifying: constantOf("CERTIFYING"),
  converged: constantOf("CONVERGED"),
  failed: constantOf("FAILED"),
};

/** Why a sequence ended. */
export const reasons = {
  exact: constantOf("REASON_EXACT"),
  certified: constantOf("REASON_CERTIFIED"),
  notFinite: constantOf("REASON_NOT_FINITE"),
  tooManySweeps: constantOf("REASON_TOO_MANY_SWEEPS"),
  errorTooLarge: constantOf("REASON_ERROR_TOO_LARGE"),
};

/** A structure being filled in: its fields are unsigned integers or floats, all of four bytes. */
export class Structure<Field extends string> {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly floats: Float32Array<ArrayBuffer>;

  /** @param count how many of them, one after the other. */
  constructor(
    readonly layout: StructureLayout<Field>,
    count = 1,
    buffer = new ArrayBuffer(layout.words * 4 * count),
  ) {
    this.words = new Uint32Array(buffer);
    this.floats = new Float32Array(buffer);
  }

  setWords(values: Partial<Record<Field, number>>, index = 0): void {
    for (const [field, value] of Object.entries(values) as [Field, number][]) {
      this.words[this.at(field, index)] = value;
    }
  }

  setFloats(values: Partial<Record<Field, number>>, index = 0): void {
    for (const [field, value] of Object.entries(values) as [Field, number][]) {
      this.floats[this.at(field, index)] = value;
    }
  }

  at(field: Field, index = 0): number {
    return index * this.layout.words + this.layout.word[field];
  }
}
