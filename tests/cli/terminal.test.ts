/** How the program behaves among others: pipes that close, Ctrl-C, colours, progress. */
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { WriteStream } from "node:tty";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createProgress } from "../../src/cli/progress.ts";
import { styleFor, toJson } from "../../src/cli/terminal.ts";
import { mulberry32, uniform } from "../support/random.ts";
import { float32Tensor, npy, parseNpy, safetensors } from "./files.ts";
import { runCli, temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
const random = mulberry32(3);
writeFileSync(
  join(folder, "gru.safetensors"),
  safetensors({
    weight_ih: float32Tensor(uniform(random, 24), [12, 2]),
    weight_hh: float32Tensor(uniform(random, 48), [12, 4]),
  }),
);
writeFileSync(join(folder, "x.npy"), npy(uniform(random, 200), [100, 2]));

/** What colours and progress are written to, in the place of a terminal. */
function terminal(isTTY: boolean): { stream: NodeJS.WriteStream; written: () => string } {
  let text = "";
  const stream = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  const { hasColors, getColorDepth } = WriteStream.prototype;
  Object.assign(stream, { isTTY, columns: 120, rows: 40, hasColors, getColorDepth });
  const nothing = () => true;
  Object.assign(stream, { cursorTo: nothing, clearLine: nothing, moveCursor: nothing });
  return { stream: stream as unknown as NodeJS.WriteStream, written: () => text };
}

afterEach(() => vi.unstubAllEnvs());

describe("the program among others", () => {
  it.each([[["--help"]], [["eval", "--help"]], [["doctor"]], [["doctor", "--json"]]])(
    "does well when nobody reads what %j prints",
    async (args) => {
      const during = (child: ChildProcess) => {
        child.stdout!.destroy();
        child.stdin!.end();
      };
      const { code, signal, stderr } = await runCli(args, { during });
      expect(stderr).toBe("");
      expect([code, signal]).toEqual([0, null]);
    },
  );

  it("finishes its work when nobody reads its report", async () => {
    const args = ["eval", "gru.safetensors", "x.npy", "--cell", "gru", "--output", "unread.npy"];
    const { code } = await runCli(args, {
      cwd: folder,
      during: (child) => {
        child.stdout!.destroy();
        child.stderr!.destroy();
        child.stdin!.end();
      },
    });
    expect(code).toBe(0);
    expect(parseNpy(readFileSync(join(folder, "unread.npy"))).shape).toEqual([100, 4]);
  });

  // Whoever has taken more of its stdin than a pipe holds has begun its work.
  const taken = (child: ChildProcess, bytes: Uint8Array) =>
    new Promise<void>((resolve) => child.stdin!.write(bytes, () => resolve()));
  const fromStdin = ["eval", "gru.safetensors", "-", "--cell", "gru", "--backend", "reference"];

  it.skipIf(process.platform === "win32").each(["SIGINT", "SIGTERM"] as const)(
    "stops cleanly at %s while it works, and leaves no file",
    async (name) => {
      const steps = 4_000_000;
      const { code, stderr } = await runCli([...fromStdin, "--output", "never.npy"], {
        cwd: folder,
        during: async (child) => {
          await taken(child, npy(new Float32Array(2 * steps), [steps, 2]));
          child.stdin!.end();
          await new Promise((resolve) => setTimeout(resolve, 500));
          child.kill(name);
        },
      });
      expect(stderr).toBe("antler: interrupted\n");
      expect(code).toBe(130);
      expect(existsSync(join(folder, "never.npy"))).toBe(false);
    },
  );

  it.skipIf(process.platform === "win32")("stops cleanly while it waits for stdin", async () => {
    const { code, stderr } = await runCli([...fromStdin, "--output", "never.npy"], {
      cwd: folder,
      during: async (child) => {
        await taken(child, Buffer.from("1,2\n".repeat(200_000)));
        child.kill("SIGINT");
      },
    });
    expect(stderr).toBe("antler: interrupted\n");
    expect(code).toBe(130);
    expect(existsSync(join(folder, "never.npy"))).toBe(false);
  });

  it("has colours on a terminal, but not where NO_COLOR is set or elsewhere", () => {
    vi.stubEnv("TERM", "xterm-256color");
    vi.stubEnv("NO_COLOR", undefined);
    vi.stubEnv("FORCE_COLOR", undefined);
    // Node takes the log of a CI service for no terminal.
    vi.stubEnv("CI", undefined);
    expect(styleFor(terminal(true).stream).good("fine")).toBe("\x1b[32mfine\x1b[39m");
    expect(styleFor(terminal(false).stream).good("fine")).toBe("fine");
    vi.stubEnv("NO_COLOR", "1");
    expect(styleFor(terminal(true).stream).good("fine")).toBe("fine");
    vi.stubEnv("NO_COLOR", undefined);
    vi.stubEnv("TERM", "dumb");
    expect(styleFor(terminal(true).stream).good("fine")).toBe("fine");
  });

  it("shows progress on a terminal, and takes it away; elsewhere there is none", () => {
    const onTerminal = terminal(true);
    const progress = createProgress(onTerminal.stream);
    progress.update(1, 4, "one of four");
    progress.update(2, 4, "two of four");
    progress.stop();
    progress.stop();
    expect(onTerminal.written()).toContain("one of four");
    expect(onTerminal.written()).toContain("25%");
    const inPipe = terminal(false);
    const silent = createProgress(inPipe.stream);
    silent.update(1, 4, "one of four");
    silent.stop();
    expect(inPipe.written()).toBe("");
  });

  it("writes numbers that JSON does not know as strings", () => {
    expect(JSON.parse(toJson({ a: Number.NaN, b: [-Infinity, 1] }))).toEqual({
      a: "NaN",
      b: ["-Infinity", 1],
    });
  });
});
