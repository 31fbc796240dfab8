/** What the service says when it cannot do what was asked: always JSON, always with a reason. */

export interface Reason {
  /** What went wrong, for programs. */
  readonly code: string;
  /** What went wrong, for people. */
  readonly message: string;
  /** The part of the request that is at fault, such as `inputs[3][0]`. */
  readonly field?: string;
  readonly expected?: string;
  readonly got?: string;
}

/** Something that the caller can put right, or may try again. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(
    readonly status: number,
    readonly code: string,
    readonly details: Omit<Reason, "code" | "message"> & { message?: string } = {},
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    const { field, expected, got, message } = details;
    const text = [expected && `expected ${expected}`, got && `got ${got}`].filter(Boolean);
    super(message ?? `${field}: ${text.join(", ")}`);
  }

  get reason(): Reason {
    const { field, expected, got } = this.details;
    return { code: this.code, message: this.message, field, expected, got };
  }
}

/** A fault of the service's own is logged, and told without its details. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  console.error(error);
  return new Refusal(500, "internal", { message: "the service failed; its log says why" });
}

export function refuse(error: unknown): Response {
  const refusal = asRefusal(error);
  const { status, reason, headers } = refusal;
  return Response.json({ error: reason }, { status, headers });
}

/** A value in a message, cut short. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
