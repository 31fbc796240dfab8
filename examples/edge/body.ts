/** Reads a request's body, counting: `Content-Length` may lie or be missing. */
import { Refusal } from "./refusal.ts";
import type { Settings } from "./settings.ts";

/** @throws Refusal where the header alone says that the body is too large. */
export function checkDeclaredLength(request: Request, { maxBodyBytes }: Settings): void {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > maxBodyBytes) throw tooLarge(maxBodyBytes, `${declared} bytes declared`);
}

/** @throws Refusal for a body that is too large, too slow, or breaks off. */
export async function readBody(
  request: Request,
  { maxBodyBytes, bodyTimeoutMs }: Settings,
): Promise<Uint8Array<ArrayBuffer>> {
  checkDeclaredLength(request, { maxBodyBytes } as Settings);
  const reader = request.body?.getReader();
  if (!reader) return new Uint8Array(0);
  let tooSlow = () => {};
  const timeout = new Promise<never>((_, reject) => {
    const expected = `the whole body within ${bodyTimeoutMs} ms`;
    tooSlow = () => reject(new Refusal(408, "body-timeout", { field: "body", expected }));
  });
  // Nobody may be waiting when it fails.
  timeout.catch(() => {});
  const timer = setTimeout(() => tooSlow(), bodyTimeoutMs);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), timeout]);
      if (done) return joined(chunks, length);
      length += value.length;
      if (length > maxBodyBytes) throw tooLarge(maxBodyBytes, `more than ${maxBodyBytes} bytes`);
      chunks.push(value);
    }
  } catch (error) {
    // Tells the host that the rest is not wanted; it may have none, or be unable to say.
    reader.cancel().catch(() => {});
    if (error instanceof Refusal) throw error;
    const message = `the body broke off after ${length} bytes`;
    throw new Refusal(400, "body-incomplete", { field: "body", message });
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(most: number, got: string): Refusal {
  return new Refusal(413, "body-too-large", {
    field: "body",
    expected: `${most} bytes at most`,
    got,
  });
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
