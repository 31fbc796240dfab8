/** The page on performance is what the kept results give, and the arithmetic of the benches behind it. */
import { describe, expect, it } from "vitest";
import { renderMarkdownTable } from "../../bench/report.ts";
import { fitLine } from "../../bench/support/straight-line.ts";
import {
  findOutdated,
  type KeptResult,
  lastOf,
  makePages,
  makePerformancePages,
} from "../../scripts/performance.ts";

describe("docs/performance.md", () => {
  it("is what the kept results and its template give", () => {
    const files = makePerformancePages();
    expect([...files.keys()]).toContain("docs/performance.md");
    expect(findOutdated(files)).toEqual([]);
  });

  it("is noticed when it is not", () => {
    const files = makePerformancePages();
    files.set("docs/performance.md", `${files.get("docs/performance.md")} `);
    files.set("docs/figures/missing.svg", "<svg/>");
    expect(findOutdated(files)).toEqual(["docs/performance.md", "docs/figures/missing.svg"]);
  });
});

const machine = {
  cpu: "a CPU",
  cores: 2,
  node: "v20",
  platform: "linux x64",
  commit: "abc",
  date: "2026-01-01T00:00:00.000Z",
};

describe("the page's maker", () => {
  const kept: KeptResult = {
    machine,
    tables: [{ title: "Times", columns: ["a", { title: "ns", digits: 1 }], rows: [["x|y", 1.25]] }],
    notes: ["first", "second", "Charts: somewhere."],
  };

  it("fills in tables, notes and the machine, and says what is missing", () => {
    const pages = makePages("# T\n\n{{auto}}\n\n{{scaling}}\n", (bench) =>
      bench === "auto" ? kept : null,
    );
    const page = pages.get("docs/performance.md")!;
    expect(page).toContain("*a CPU, 2 cores, Node v20, linux x64, commit abc,");
    expect(page).toContain("**Times**\n\n| a | ns |\n|---|---:|\n| x\\|y | 1.3 |");
    expect(page).toContain("\n- first\n- second\n");
    expect(page).not.toContain("somewhere");
    expect(page).toContain("Not measured yet: `npm run bench -- scaling`.");
  });

  it("leaves no placeholder behind", () => {
    expect(() => makePages("{{Auto}}", () => null)).toThrow(/\{\{Auto\}\}/);
  });

  it("takes the last result of a bench", () => {
    const names = [
      "2026-11-23-xeon-auto.json",
      "2026-12-01-xeon-auto.json",
      "2026-12-02-xeon-peers.json",
      "auto.local.json",
    ];
    expect(lastOf("auto", names)).toBe("2026-12-01-xeon-auto.json");
    expect(lastOf("scaling", names)).toBeNull();
  });
});

describe("renderMarkdownTable", () => {
  it("aligns numbers to the right, and refuses rows of another length", () => {
    const table = { columns: ["a", "b"], rows: [["x", null]] as const };
    expect(renderMarkdownTable(table)).toBe("| a | b |\n|---|---:|\n| x | – |");
    expect(() => renderMarkdownTable({ columns: ["a"], rows: [["x", 1]] })).toThrow(RangeError);
  });
});

describe("fitLine", () => {
  it("finds the line that points lie on, over three powers of ten", () => {
    const line = fitLine([1e3, 1e4, 1e6].map((x) => [x, 7 + 0.25 * x]));
    expect(line.fixed).toBeCloseTo(7, 6);
    expect(line.slope).toBeCloseTo(0.25, 9);
    expect(line.deviation).toBeLessThan(1e-9);
  });

  it("tells how far off a point is, relative to the line", () => {
    const points = [1, 10, 100, 1000].map((x) => [x, x === 100 ? 120 : x] as const);
    const { deviations, deviation } = fitLine(points);
    expect(deviation).toBe(Math.max(...deviations.map(Math.abs)));
    expect(deviations.indexOf(Math.max(...deviations))).toBe(2);
    expect(deviation).toBeGreaterThan(0.08);
  });

  it("has no negative fixed part", () => {
    const { fixed, slope, deviation } = fitLine([1, 2, 4].map((x) => [x, x * x]));
    expect(fixed).toBe(0);
    expect(slope).toBeGreaterThan(0);
    expect(deviation).toBeGreaterThan(0.2);
  });
});
