/** What the speech example gives out: segments, the picture, tables and progress. */

import type { Report, Runtime } from "antler";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeGpu } from "../../examples/vad/gpu.ts";
import { COMPARED, comparedOnGpu } from "../../examples/vad/methods.ts";
import { type PictureOptions, renderPicture } from "../../examples/vad/picture.ts";
import { createProgress } from "../../examples/vad/progress.ts";
import { findSegments, SILERO_OPTIONS } from "../../examples/vad/segments.ts";
import {
  largestDifference,
  renderMethods,
  renderPrompts,
  renderSegments,
  renderTable,
} from "../../examples/vad/table.ts";

function sine(hertz: number, rate: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => 0.5 * Math.sin((2 * Math.PI * hertz * n) / rate));
}

describe("findSegments", () => {
  /** Ten windows a second and no padding, unless a test says otherwise. */
  const options = { ...SILERO_OPTIONS, padding: 0 };
  const find = (text: string, changes: Partial<typeof options> = {}) => {
    // "#" is certain speech, "+" lies between the thresholds, "." is silence.
    const levels: Record<string, number> = { "#": 0.9, "+": 0.4, ".": 0.1 };
    const probabilities = [...text].map((character) => levels[character]);
    return findSegments(probabilities, 0.1, text.length / 10, { ...options, ...changes }).map(
      ({ start, end }) => [Number(start.toFixed(3)), Number(end.toFixed(3))],
    );
  };

  it("finds nothing in nothing", () => {
    expect(findSegments([], 0.032)).toEqual([]);
    expect(find("..........")).toEqual([]);
    expect(find("++++++++++")).toEqual([]);
  });

  it("finds one stretch, several, and all of it", () => {
    expect(find("...####...")).toEqual([[0.3, 0.7]]);
    expect(find("####...####...")).toEqual([
      [0, 0.4],
      [0.7, 1.1],
    ]);
    expect(find("##########")).toEqual([[0, 1]]);
  });

  it("keeps a segment open between the thresholds, but does not open one there", () => {
    expect(find("+++####+++...")).toEqual([[0.3, 1]]);
    expect(find("####++++####....")).toEqual([[0, 1.2]]);
  });

  it("ends a segment where its pause began, once the pause is long enough", () => {
    const minimumSilence = 0.3;
    expect(find("####..####......", { minimumSilence })).toEqual([[0, 1]]);
    expect(find("####....####......", { minimumSilence })).toEqual([
      [0, 0.4],
      [0.8, 1.2],
    ]);
  });

  it("drops what is too short, counted before padding", () => {
    expect(find("..##......###...")).toEqual([[1, 1.3]]);
    expect(find("..##......###...", { padding: 0.1 })).toEqual([[0.9, 1.4]]);
    expect(find("..##......###...", { minimumSpeech: 0.1 })).toHaveLength(2);
  });

  it("pads within the recording, and shares a gap that is too narrow for both sides", () => {
    expect(find("####...####", { padding: 0.05 })).toEqual([
      [0, 0.45],
      [0.65, 1.1],
    ]);
    expect(find("####..####", { padding: 0.3 })).toEqual([
      [0, 0.5],
      [0.5, 1],
    ]);
  });

  it("gives ordered segments inside the recording for any probabilities", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (probabilities) => {
        const seconds = probabilities.length * 0.032;
        let previous = 0;
        for (const { start, end } of findSegments(probabilities, 0.032, seconds)) {
          expect(start).toBeGreaterThanOrEqual(previous);
          expect(end - start).toBeGreaterThan(SILERO_OPTIONS.minimumSpeech);
          previous = end;
        }
        expect(previous).toBeLessThanOrEqual(seconds);
      }),
      { seed: 1 },
    );
  });
});

/** Why a document is not well-formed XML, as far as elements and text go; null when it is. */
function xmlProblem(document: string): string | null {
  const text = Buffer.from(document, "utf8").toString("utf8").trim();
  const forbidden = text.match(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u);
  if (forbidden) return `forbidden character at ${forbidden.index}`;
  const token =
    /<\/(?<close>[\w:]+)>|<(?<open>[\w:]+)(?:\s+[\w:-]+="(?:[^<&"]|&\w+;)*")*(?<empty>\/?)>|(?:[^<>&]|&(?:amp|lt|gt|quot);)+/gy;
  const open: string[] = [];
  let position = 0;
  while (position < text.length) {
    token.lastIndex = position;
    const match = token.exec(text);
    if (!match) return `no token at ${position}: ${text.slice(position, position + 40)}`;
    const { close, open: name, empty } = match.groups ?? {};
    if (close && open.pop() !== close) return `</${close}> closes another element`;
    if (!close && open.length === 0 && position > 0) return `something after the root element`;
    if (name && empty === "") open.push(name);
    position = token.lastIndex;
  }
  return open.length > 0 ? `<${open.join("><")}> is never closed` : null;
}

describe("renderPicture", () => {
  const options: PictureOptions = {
    title: "a recording",
    samples: Float32Array.from(sine(5, 1000, 2000)),
    seconds: 2,
    probabilities: Float64Array.from(sine(1, 50, 100), (value) => Math.abs(value)),
    secondsPerWindow: 0.02,
    thresholds: [0.5, 0.35],
    segments: [
      { start: 0.25, end: 0.75 },
      { start: 1.25, end: 1.75 },
    ],
    prompts: [{ name: "first", start: 0.2, end: 0.8 }],
  };

  it("is well-formed, and holds every part", () => {
    const svg = renderPicture(options);
    expect(xmlProblem(svg)).toBeNull();
    for (const text of ["time (s)", "amplitude", "p(speech)", "speech probability", "first"]) {
      expect(svg).toContain(`>${text}</text>`);
    }
    expect(svg.match(/speech from /g)).toHaveLength(2);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("puts a segment where it belongs", () => {
    const band = /<rect x="([\d.]+)"[^>]* width="([\d.]+)"[^>]*>\s*<title>speech from 1.250/;
    const [, x, width] = renderPicture(options).match(band) ?? [];
    const scale = (1220 - 70) / 2;
    expect(Number(x)).toBeCloseTo(70 + 1.25 * scale, 1);
    expect(Number(width)).toBeCloseTo(0.5 * scale, 1);
  });

  it.each(["<b> & \"quotes\" 'and' ]]>", "\u0000\u0001\u001b[31m", "–\ud800", "<!-- -->"])(
    "is well-formed with the title %j",
    (title) => {
      const prompts = [{ name: title, start: 0, end: 1 }];
      expect(xmlProblem(renderPicture({ ...options, title, prompts }))).toBeNull();
    },
  );

  it("leaves the prompts out where none are known", () => {
    const svg = renderPicture({ ...options, prompts: [] });
    expect(xmlProblem(svg)).toBeNull();
    expect(svg).not.toContain("prompt as placed");
  });

  it("draws silence, a single window, and an hour in little space", () => {
    const silent = renderPicture({ ...options, samples: new Float32Array(2000), segments: [] });
    expect(xmlProblem(silent)).toBeNull();
    expect(silent).not.toMatch(/NaN|Infinity/);

    const short = { samples: new Float32Array(512), seconds: 0.032, probabilities: [0.5] };
    expect(renderPicture({ ...options, ...short, segments: [] })).not.toMatch(/NaN|Infinity/);

    const long = renderPicture({
      ...options,
      seconds: 3600,
      probabilities: Float64Array.from({ length: 112_500 }, (_, n) => (n === 60_000 ? 1 : 0)),
      secondsPerWindow: 0.032,
    });
    expect(long.length).toBeLessThan(200_000);
    // The one high window survives the thinning out, and the top of that panel is where p = 1.
    const top = long.match(/<rect x="70" y="([\d.]+)" width="1150"/)?.[1];
    expect(long.match(/polyline points="([^"]*)"/)?.[1]).toContain(`,${top} `);
  });
});

describe("tables", () => {
  it("line up their columns", () => {
    const table = renderTable(
      ["name", "n"],
      [
        ["a", "1"],
        ["long name", "1000"],
      ],
      ["left", "right"],
    );
    expect(table.split("\n")).toEqual([
      "name          n",
      "─────────  ────",
      "a             1",
      "long name  1000",
    ]);
  });

  it("name the prompt that a segment lies in, and the prompt that was missed", () => {
    const prompts = [
      { name: "heard", start: 1, end: 3 },
      { name: "unheard", start: 5, end: 6 },
    ];
    const segments = [
      { start: 1.1, end: 2.1 },
      { start: 8, end: 9 },
    ];
    const found = renderSegments(segments, prompts).split("\n");
    expect(found[2]).toMatch(/1 {2}1\.100 {2}2\.100 +1\.00 +100 % {2}heard$/);
    expect(found[3]).toMatch(/8\.000 {2}9\.000 +1\.00 +0 % {2}\(none\)$/);
    const placed = renderPrompts(segments, prompts).split("\n");
    expect(placed[2]).toMatch(/^heard +1\.000 +1\.100 +3\.000 +2\.100 +1 +50 %$/);
    expect(placed[3]).toMatch(/^unheard +5\.000 +missed +6\.000 +missed +0 +0 %$/);
  });
});

describe("renderMethods", () => {
  const report: Report = {
    backend: "reference",
    method: "sequential",
    jacobian: null,
    chunk: 100,
    iterations: 0,
    residual: 0,
    errorEstimate: 0,
    converged: true,
    choice: "asked for",
    milliseconds: { total: 1, prepare: 0, solve: 1 },
  };
  const result = (changes: Partial<Report>, milliseconds: number, firstProbability: number) => ({
    report: { ...report, ...changes },
    milliseconds,
    runs: 1,
    probabilities: Float64Array.from({ length: 100 }, (_, n) => (n === 0 ? firstProbability : 0.5)),
  });
  const oracle = result({}, 1000, 0.5);
  const parallel = {
    backend: "wasm",
    method: "quasi-deer",
    jacobian: "block",
    chunk: 16,
    iterations: 4,
    residual: 2.5e-6,
  } as const;

  it("says how much faster than real time, and how far from the oracle", () => {
    const table = renderMethods([oracle, result(parallel, 25, 0.5 + 2 ** -10)], oracle, 50);
    const [, , first, second] = table.split("\n");
    expect(first.split(/ {2,}/)).toEqual([
      "reference",
      "sequential",
      "–",
      "–",
      "–",
      "0",
      "1000",
      "50 ×",
      "–",
      "the oracle, float64",
    ]);
    expect(second.split(/ {2,}/)).toEqual([
      "wasm",
      "quasi-deer",
      "block",
      "16",
      "4 / 6",
      "2.5e-6",
      "25.0",
      "2,000 ×",
      "9.8e-4",
    ]);
  });

  it("tells of repairs, and of results that are not to be trusted", () => {
    const fallback = { reason: "not converged", fromStep: 32, sequence: 0 } as const;
    const results = [
      result({ ...parallel, fallback: { to: "sequential", ...fallback } }, 25, 0.5),
      result({ ...parallel, converged: false, fallback: { to: "none", ...fallback } }, 25, 0.5),
      result({ ...parallel, converged: false }, 25, 0.5),
      result(parallel, 25, 0.5),
    ];
    const table = renderMethods(results, oracle, 50);
    expect(table.match(/(not )?(repaired|converged) \[\d\]$/gm)).toEqual([
      "repaired [1]",
      "not repaired [2]",
      "not converged [3]",
    ]);
    expect(table).toContain("[1] repaired: sequential from step 32: not converged\n");
  });
});

describe("the rows of WebGPU", () => {
  const adapter = { vendor: "acme", architecture: "one", description: "ACME 1", software: false };
  const report: Report = {
    backend: "webgpu",
    method: "sequential",
    jacobian: null,
    chunk: 1,
    iterations: 0,
    residual: 0,
    errorEstimate: 0,
    converged: true,
    choice: "asked for",
    milliseconds: { total: 1, prepare: 0, solve: 1 },
  };
  const row = (software: boolean) => {
    const probabilities = Float64Array.of(0.5);
    const used = { ...adapter, software };
    const result = {
      report: { ...report, adapter: used },
      milliseconds: 1,
      runs: 1,
      probabilities,
    };
    return renderMethods([result], result, 1).split("\n")[2]!;
  };

  it("say that software is none", () => {
    expect(row(false)).toMatch(/^webgpu +sequential/);
    expect(row(true)).toMatch(/^webgpu \(software\) {2}sequential/);
  });

  it("are told the adapter of, and what its times mean", () => {
    const runtime = {} as Runtime;
    expect(describeGpu({ runtime, adapter: "ACME 1", software: false })).toBe("WebGPU: on ACME 1.");
    const imitated = describeGpu({ runtime, adapter: "SwiftShader", software: true });
    expect(imitated).toMatch(/^WebGPU: on SwiftShader, which is software.*\n.*say nothing/);
    const missing = describeGpu({ runtime: null, reason: "no adapter" });
    expect(missing).toBe("WebGPU: not here. no adapter");
  });

  it("are few in software, and those of WebAssembly on a GPU", () => {
    expect(comparedOnGpu(false)).toEqual(COMPARED);
    const few = comparedOnGpu(true);
    expect(few[0]).toEqual({ method: "sequential" });
    for (const options of few) expect(COMPARED).toContainEqual(options);
    expect(few.length).toBeLessThan(COMPARED.length);
  });
});

describe("createProgress", () => {
  const record = (properties: { isTTY?: boolean; columns?: number }) => {
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text) > 0, ...properties };
    return { written, progress: createProgress(stream as unknown as NodeJS.WriteStream) };
  };

  it("writes plain lines where there is no terminal", () => {
    const { written, progress } = record({});
    progress.stage("reading");
    progress.detail("too soon after the line before");
    progress.stage("running");
    progress.clear();
    expect(written).toEqual(["reading …\n", "running …\n"]);
  });

  it("keeps to one line on a terminal, no wider than it, and takes it away", () => {
    const { written, progress } = record({ isTTY: true, columns: 12 });
    progress.stage("a stage with a long name");
    progress.clear();
    progress.clear();
    expect(written).toEqual(["\r\x1b[Ka stage wit", "\r\x1b[K"]);
  });
});

describe("largestDifference", () => {
  it("finds the largest wherever it is, and does not hide a NaN", () => {
    const curve = Float64Array.of(0.1, 0.5, 0.9);
    expect(largestDifference(curve, Float64Array.of(0.1, 0.25, 1))).toBe(0.25);
    expect(largestDifference(curve, Float64Array.of(Number.NaN, 0.5, 0.9))).toBeNaN();
  });
});
