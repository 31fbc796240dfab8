/** What a page and its workers say to each other. */

/** A worker's tasks by name: what goes in, what is told on the way, what comes out. */
export type TaskTypes = Record<string, { input: unknown; progress: unknown; result: unknown }>;

export type ToWorker =
  | { readonly kind: "start"; readonly id: number; readonly task: string; readonly input: unknown }
  | { readonly kind: "cancel"; readonly id: number };

export type FromWorker =
  | { readonly kind: "progress"; readonly id: number; readonly value: unknown }
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: PlainError };

/** An error without its class, which a message cannot carry. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  /** The line of a visitor's own code, from 1. */
  readonly line?: number;
}

export function toPlainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  const line = (error as { line?: unknown }).line;
  return { name, message, ...(typeof line === "number" && { line }) };
}
