/** The playground as a page: the Check tab, and what holds for all tabs. */
import AxeBuilder from "@axe-core/playwright";
import type { Browser, BrowserContextOptions, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import {
  endOf,
  keepPicture,
  openPlayground,
  type Playground,
  panelOf,
  readFact,
  readTable,
  runTask,
  servePlayground,
  textOf,
  type WatchedPage,
} from "../support/playground.ts";

let playground: Playground;
let browser: Browser;
/** The whole suite takes a while on an imitated GPU: it goes on while the other tests run. */
let checking: WatchedPage;
beforeAll(async () => {
  [playground, browser] = await Promise.all([servePlayground(), launchGpuBrowser()]);
  checking = await openPlayground(browser, playground, "tab=check", {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await panelOf(checking.page).getByRole("button", { name: "Run the suite" }).click();
});
afterAll(async () => {
  await browser?.close();
  await playground?.close();
});

async function inPage(
  work: (page: Page) => Promise<void>,
  hash = "",
  options: BrowserContextOptions = {},
): Promise<void> {
  const watched = await openPlayground(browser, playground, hash, options);
  try {
    await work(watched.page);
    expect(watched.complaints).toEqual([]);
  } finally {
    await watched.close();
  }
}

const SMALL = "hiddenSize=4&steps=96&gain=2&chunk=8&backend=wasm";
const TABS = ["Solve", "Speech", "Check this device"] as const;
const openTab = (page: Page, name: string) => page.getByRole("tab", { name }).click();

/** Something to look at in each tab, as quickly as can be. */
async function fillTabs(page: Page): Promise<void> {
  await openTab(page, "Solve");
  expect(await runTask(page, "Run")).toMatch(/^Converged/);
  await openTab(page, "Speech");
  expect(await runTask(page, "Find speech")).toMatch(/^Found/);
  await openTab(page, "Check this device");
  for (const backend of ["WebGPU", "reference (float64)"]) {
    const box = panelOf(page).getByLabel(backend, { exact: true });
    if (await box.isEnabled()) await box.uncheck();
  }
  expect(await runTask(page, "Run the suite")).toMatch(/^All \d+ evaluations passed\.$/);
}

describe("axe", () => {
  it.each(["light", "dark"] as const)("finds nothing to object to in %s", async (colorScheme) => {
    await inPage(
      async (page) => {
        const objections = async () => {
          // The rows of a table are all alike, and there are hundreds.
          const builder = new AxeBuilder({ page }).exclude("tbody tr:nth-child(n + 3)");
          // All that the dark theme changes are the colours.
          if (colorScheme === "dark") builder.withRules("color-contrast");
          const { violations } = await builder.analyze();
          return violations.map(({ id, impact, nodes }) => [id, impact, nodes[0]?.html]);
        };
        for (const tab of TABS) {
          await openTab(page, tab);
          await panelOf(page)
            .getByText(/Nothing has/)
            .first()
            .waitFor();
          expect(await objections(), tab).toEqual([]);
        }
        await fillTabs(page);
        for (const tab of TABS) {
          await openTab(page, tab);
          for (const details of await panelOf(page).locator("summary").all()) await details.click();
          expect(await objections(), `${tab}, filled`).toEqual([]);
          const name = tab.split(" ")[0]!.toLowerCase();
          await keepPicture(page, `${name}-opened-${colorScheme}`);
        }
        await openTab(page, "Solve");
        await panelOf(page).getByLabel("Method", { exact: true }).selectOption("threads");
        expect(await runTask(page, "Run")).toMatch(/^Evaluated on \d threads?\.$/);
        expect(await objections(), "threads").toEqual([]);
        await panelOf(page).getByLabel("Cell", { exact: true }).selectOption("own");
        await panelOf(page).getByLabel("Code of the cell").waitFor();
        expect(await objections(), "own cell").toEqual([]);
      },
      SMALL,
      { colorScheme },
    );
  });
});

describe("a phone", () => {
  it("shows each tab without scrolling sideways", async () => {
    await inPage(
      async (page) => {
        const sideways = () =>
          page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        for (const tab of TABS) {
          await openTab(page, tab);
          expect(await sideways(), tab).toBeLessThanOrEqual(0);
        }
        await fillTabs(page);
        for (const tab of TABS) {
          await openTab(page, tab);
          expect(await sideways(), `${tab}, filled`).toBeLessThanOrEqual(0);
          await keepPicture(page, `${tab.split(" ")[0]!.toLowerCase()}-phone`);
        }
        await openTab(page, "Solve");
        await panelOf(page).getByLabel("Cell", { exact: true }).selectOption("own");
        await panelOf(page).getByLabel("Code of the cell").waitFor();
        expect(await sideways(), "own cell").toBeLessThanOrEqual(0);
      },
      SMALL,
      { viewport: { width: 360, height: 740 }, hasTouch: true, deviceScaleFactor: 2 },
    );
  });
});

describe("a keyboard", () => {
  /** What has the focus, and whether one can see that. */
  const focused = (page: Page) =>
    page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const name = element.getAttribute("aria-label") ?? element.textContent ?? "";
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const seen = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
      return { role: element.getAttribute("role") ?? element.tagName, name: name.trim(), seen };
    });

  it("reaches and works everything, with the focus in sight", async () => {
    await inPage(async (page) => {
      await panelOf(page).getByText("Nothing has run yet").waitFor();
      await page.keyboard.press("Tab");
      expect(await focused(page)).toMatchObject({ role: "SELECT", seen: true });
      await page.keyboard.press("Tab");
      expect(await focused(page)).toEqual({ role: "tab", name: "Solve", seen: true });
      await page.keyboard.press("ArrowRight");
      expect(await focused(page)).toEqual({ role: "tab", name: "Speech", seen: true });
      await page.keyboard.press("End");
      expect(await focused(page)).toMatchObject({ name: "Check this device" });
      expect(await textOf(panelOf(page))).toContain("Nothing has been checked yet");
      await page.keyboard.press("ArrowRight");
      expect(await focused(page)).toMatchObject({ name: "Solve" });
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("Home");
      expect(await focused(page)).toMatchObject({ role: "tab", name: "Solve" });

      const passed: string[] = [];
      for (let presses = 0; presses < 30; presses++) {
        await page.keyboard.press("Tab");
        const { role, name, seen } = await focused(page);
        expect(seen, `${role} ${name}`).toBe(true);
        passed.push(name);
        if (role === "BUTTON" && name === "Run") break;
      }
      expect(passed.at(-1)).toBe("Run");
      expect(passed.length).toBeGreaterThan(10);
      await page.keyboard.press("Enter");
      expect(await endOf(page, "Run")).toMatch(/^Converged/);
      expect(await focused(page)).toMatchObject({ name: "Run" });
    }, SMALL);
  });

  it("leaves the editor of cells as it came", async () => {
    await inPage(async (page) => {
      await panelOf(page).getByLabel("Code of the cell").focus();
      await page.keyboard.press("Tab");
      expect((await focused(page)).role).not.toBe("DIV");
    }, `${SMALL}&cell=own`);
  });
});

describe("the theme", () => {
  it("follows the system until one is chosen, which is remembered", async () => {
    await inPage(
      async (page) => {
        const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
        expect(await theme()).toBe("dark");
        await page.emulateMedia({ colorScheme: "light" });
        await expect.poll(theme).toBe("light");
        await page.getByLabel("Theme").selectOption("dark");
        await page.reload();
        await page.getByLabel("Theme").waitFor();
        expect(await theme()).toBe("dark");
        expect(await page.getByLabel("Theme").inputValue()).toBe("dark");
      },
      "",
      { colorScheme: "dark" },
    );
  });
});

describe("a browser without WebGPU", () => {
  it("says why, and does all else", async () => {
    const plain = await launchBrowser();
    const watched = await openPlayground(plain, playground, SMALL);
    try {
      const { page } = watched;
      const option = panelOf(page).getByLabel("Runs on").locator("option[value=webgpu]");
      await expect.poll(() => option.isDisabled()).toBe(true);
      expect(await textOf(panelOf(page))).toMatch(/WebGPU is not available: .{10}/);
      await panelOf(page).getByLabel("Runs on").selectOption("auto");
      await fillTabs(page);
      await openTab(page, "Solve");
      expect(await readFact(page, "Backend")).toBe("wasm");
      expect(watched.complaints).toEqual([]);
    } finally {
      await watched.close();
      await plain.close();
    }
  });
});

describe("the site", () => {
  it("names its own files by relative addresses, and nothing else", async () => {
    const html = await (await fetch(playground.address)).text();
    const named = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address!);
    expect(named.length).toBeGreaterThanOrEqual(3);
    for (const address of named) {
      expect(address).toMatch(/^\.\//);
      expect(playground.files).toContain(address.slice(2));
    }
    expect(playground.files).toContain("licences.txt");
  });

  it("lets no text become code in the page", async () => {
    const watched = await openPlayground(browser, playground);
    const refused = await watched.page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.ran = true";
      return new Promise<string>((resolve) => {
        document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) =>
          resolve(effectiveDirective),
        );
        document.head.append(script);
      });
    });
    expect(refused).toBe("script-src-elem");
    expect(await watched.page.evaluate("globalThis.ran")).toBeUndefined();
    await watched.close();
  });
});

describe("the Check tab", () => {
  it("times a GRU on each backend that is ticked", async () => {
    await inPage(async (page) => {
      await panelOf(page).getByLabel("WebGPU", { exact: true }).uncheck();
      await panelOf(page).getByLabel("reference (float64)").uncheck();
      expect(await runTask(page, "Run the benchmark")).toBe("The benchmark is done.");
      const rows = await readTable(page, "A GRU with 3 inputs");
      const cores = await page.evaluate(() => navigator.hardwareConcurrency);
      expect(rows).toHaveLength(cores > 1 ? 12 : 9);
      for (const [, , backend, method, , median, , , note] of rows) {
        expect(backend).toBe("WebAssembly");
        expect(median).toMatch(/^[\d.]+ m?s$/);
        // Nothing isolates the page from other origins, and workers start all the same.
        if (method === "threads") expect(note).toMatch(/^[2-8] threads, [\d,]+ steps run again$/);
        else expect(note).toBe("");
      }
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
    }, "tab=check");
  });

  it("is cancelled when asked to", async () => {
    await inPage(async (page) => {
      await panelOf(page).getByRole("button", { name: "Run the suite" }).click();
      await panelOf(page)
        .getByText(/Checking: /)
        .waitFor();
      await panelOf(page).getByRole("button", { name: "Cancel" }).first().click();
      expect(await endOf(page, "Run the suite")).toBe("Cancelled.");
      expect(await textOf(panelOf(page))).toContain("Nothing has been checked yet");
    }, "tab=check");
  });

  it("passes the whole suite on all backends, and gives a result to copy", async () => {
    const { page, complaints } = checking;
    expect(await endOf(page, "Run the suite")).toMatch(/^All \d+ evaluations passed\.$/);
    for (const backend of ["WebAssembly", "WebGPU", "reference"]) {
      const rows = await readTable(page, new RegExp(`^${backend}.*: (\\d+) of \\1 passed`));
      expect(rows.length, backend).toBeGreaterThan(10);
      expect(rows.flat().join()).not.toContain("fail");
    }
    await keepPicture(page, "check-light");

    await panelOf(page).getByRole("button", { name: "Copy as JSON" }).click();
    await expect.poll(() => textOf(panelOf(page).locator(".copy").nth(1))).toContain("Copied.");
    const result = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    expect(result.conformance.passed).toBe(true);
    expect(result.conformance.results.length).toBeGreaterThan(300);
    expect(result.userAgent).toContain("Chrome");
    expect(result.adapter.software).toBe(true);
    expect(Date.parse(result.date)).toBeGreaterThan(0);
    expect(complaints).toEqual([]);

    // A page that may not use the clipboard shows the text, selected.
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"));
    });
    await panelOf(page).getByRole("button", { name: "Copy as text" }).click();
    const area = panelOf(page).getByLabel("Copy as text: the text");
    await expect
      .poll(() => area.evaluate((element) => element === document.activeElement))
      .toBe(true);
    const text = await area.inputValue();
    for (const part of ["Antler 0.", "Browser:", "GPU:", "webgpu", "Chrome"]) {
      expect(text).toContain(part);
    }
    const selected = await area.evaluate((element) => {
      const { selectionStart, selectionEnd } = element as HTMLTextAreaElement;
      return selectionEnd - selectionStart;
    });
    expect(selected).toBe(text.length);
    await checking.close();
  });
});
