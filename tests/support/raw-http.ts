/** HTTP by hand, for requests that no client would send. */
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  /** 0 where the server closed the connection without a word. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** A connection that is open; it must be destroyed. Errors, such as a reset, only end it. */
export function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

/** What the server says on a connection until it has said all, or closes it. */
export function listen(socket: Socket): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let text = "";
    const end = () => {
      socket.destroy();
      resolve(parse(text));
    };
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (isComplete(text)) end();
    });
    socket.once("close", end);
    socket.once("end", end);
  });
}

/** Sends these bytes, and nothing more. */
export async function sendRaw(
  port: number,
  ...pieces: (string | Uint8Array)[]
): Promise<RawAnswer> {
  const socket = await dial(port);
  const answer = listen(socket);
  for (const piece of pieces) socket.write(piece);
  return answer;
}

function isComplete(text: string): boolean {
  const { status, headers, text: body } = parse(text);
  if (status === 0) return false;
  if (headers["transfer-encoding"] === "chunked") return body.endsWith("0\r\n\r\n");
  return body.length >= Number(headers["content-length"] ?? Infinity);
}

function parse(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return { status: 0, headers: {}, text };
  const [first, ...lines] = text.slice(0, end).split("\r\n");
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(first.split(" ")[1]),
    headers: Object.fromEntries(headers),
    text: text.slice(end + 4),
  };
}
