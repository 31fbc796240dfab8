/** Where states stopped being finite, and why. */
import { NonFiniteError, type NonFiniteLocation } from "../errors.ts";
import type { FloatArray } from "../types.ts";
import type { Job } from "../validate.ts";

export function describeLocation({ step, unit }: NonFiniteLocation): string {
  return `not finite from step ${step}, unit ${unit} on`;
}

/**
 * The first state of a sequence, in the direction of time, that is not finite.
 *
 * @param states `[length, stateSize]`, of this sequence.
 */
export function firstNonFinite(
  job: Job,
  states: FloatArray,
  sequence: number,
): NonFiniteLocation | null {
  const { stateSize } = job.cell;
  const { length } = job.sequences[sequence]!;
  for (let t = 0; t < length; t++) {
    const step = job.reverse ? length - 1 - t : t;
    for (let unit = 0; unit < stateSize; unit++) {
      if (!Number.isFinite(states[step * stateSize + unit])) return { sequence, step, unit };
    }
  }
  return null;
}

export function nonFiniteError(job: Job, location: NonFiniteLocation): NonFiniteError {
  if (job.deviceInputs) {
    return new NonFiniteError(location, "its input is not finite, or the step overflows there");
  }
  const { inputSize } = job.cell;
  const row = (job.sequences[location.sequence]!.offset + location.step) * inputSize;
  const element = job.inputs
    .subarray(row, row + inputSize)
    .findIndex((value: number) => !Number.isFinite(value));
  const cause =
    element >= 0
      ? `element ${element} of its input is ${job.inputs[row + element]}`
      : "the step overflows or is not defined there, though its input is finite";
  return new NonFiniteError(location, cause);
}
