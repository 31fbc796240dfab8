/**
 * Errors that a caller may want to branch on. Everything that is simply a wrong argument is a
 * `TypeError` or a `RangeError` instead, and names the argument.
 */

/** A backend that was asked for by name cannot run here; `reason` says why. */
export class BackendUnavailableError extends Error {
  override readonly name = "BackendUnavailableError";
  constructor(
    readonly backend: string,
    readonly reason: string,
  ) {
    super(`backend "${backend}" is not available: ${reason}`);
  }
}

/** Where a number stopped being finite. */
export interface NonFiniteLocation {
  /** Index of the sequence in the batch. */
  readonly sequence: number;
  /** Time step, counted in rows of the sequence's inputs; -1 for the initial state. */
  readonly step: number;
  /** Index into the state vector. */
  readonly unit: number;
}

/** The exact (sequential) states of this recurrence are NaN or infinite from `location` on. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";
  constructor(
    readonly location: NonFiniteLocation,
    override readonly cause: string,
  ) {
    super(
      `the state is not finite from step ${location.step}, unit ${location.unit}` +
        ` of sequence ${location.sequence} on: ${cause}`,
    );
  }
}

/** A parallel method did not converge, and `onFailure: "throw"` was asked for. */
export class ConvergenceError extends Error {
  override readonly name = "ConvergenceError";
  constructor(
    message: string,
    readonly iterations: number,
    readonly residual: number,
  ) {
    super(message);
  }
}

/** The WebGPU device is gone, for one of the browser's or the driver's reasons; so are its buffers. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
  constructor(readonly reason: string) {
    super(`the WebGPU device was lost: ${reason}`);
  }
}

/** As WebGPU tells them apart. */
export type GpuErrorKind = "validation" | "out-of-memory" | "internal";

/** WebGPU refused or failed at something. After "out-of-memory", less may still go through. */
export class GpuError extends Error {
  override readonly name = "GpuError";
  constructor(
    readonly kind: GpuErrorKind,
    /** What was being done. */
    readonly label: string,
    detail: string,
  ) {
    super(`${label}: WebGPU ${kind} error: ${detail}`);
  }
}

/** What was asked for does not fit the GPU, though another backend may do it: a `RangeError` to callers. */
export class TooLargeForGpuError extends RangeError {
  override readonly name = "RangeError";
}
