/** The playground, built once a test file, served from a path of its own, in pages that are watched. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright";
import { build } from "vite";
import { expect } from "vitest";
import { type Page as ServedFile, type Site, serve } from "./http.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".wav": "audio/wav",
};

export interface Playground {
  /** Where it is: not at the root of its host. */
  readonly address: string;
  readonly files: readonly string[];
  close(): Promise<void>;
}

const SUB_PATH = "/some/where/";

/** Builds the site into a temporary folder and serves it from there. */
export async function servePlayground(): Promise<Playground> {
  const folder = mkdtempSync(join(tmpdir(), "antler-playground-"));
  const root = fileURLToPath(new URL("../../examples/web/", import.meta.url));
  const mode = process.env.NODE_ENV;
  // What a visitor gets; a test runner's own mode would leave the libraries' warnings in.
  process.env.NODE_ENV = "production";
  await build({
    configFile: join(root, "vite.config.ts"),
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: false, reportCompressedSize: false },
  });
  process.env.NODE_ENV = mode;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
  const pages: Record<string, ServedFile> = {};
  for (const file of files) {
    const type = types[extname(file)] ?? "application/octet-stream";
    pages[`${SUB_PATH}${file}`] = { type, body: readFileSync(join(folder, file)) };
  }
  pages[SUB_PATH] = pages[`${SUB_PATH}index.html`]!;
  rmSync(folder, { recursive: true });
  const site: Site = await serve(pages);
  return { address: `${site.origin}${SUB_PATH}`, files, close: () => site.close() };
}

/** A page, and all that went wrong in it. */
export interface WatchedPage {
  readonly page: Page;
  /** Console warnings and errors, exceptions, failed requests, requests beyond the origin. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** @param hash what stands behind the # of the address. */
export async function openPlayground(
  browser: Browser,
  { address }: Playground,
  hash = "",
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    colorScheme: "light",
    ...options,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  const { origin } = new URL(address);
  page.on("console", (message) => {
    const kind = message.type();
    if (kind === "error" || kind === "warning") complaints.push(`${kind}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  page.on("requestfailed", (request) => {
    // A recording that is no longer listened to, or a worker that was stopped.
    const aborted = request.failure()?.errorText === "net::ERR_ABORTED";
    if (!aborted) complaints.push(`failed request: ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith(`blob:${origin}/`)) {
      complaints.push(`request beyond the origin: ${url}`);
    }
  });
  await page.goto(address + (hash && `#${hash}`));
  return { page, complaints, close: () => context.close() };
}

/** The open tab's panel. */
export function panelOf(page: Page): Locator {
  return page.locator("[role=tabpanel]:not([hidden])");
}

/** All that is written in an element, shown or not. */
export async function textOf(locator: Locator): Promise<string> {
  return ((await locator.textContent()) ?? "").trim();
}

/** Presses the button of a task, and waits until the task has ended. @returns how it ended, in words. */
export async function runTask(page: Page, button: string): Promise<string> {
  const progress = progressOf(page, button);
  // The page draws a little after the click: before, the task is still idle, or as the last one has ended.
  await progress.evaluate((element: Started) => {
    element.started = new Promise((resolve) => {
      const observer = new MutationObserver(resolve);
      observer.observe(element, { attributes: true, attributeFilter: ["class"] });
    });
  });
  await panelOf(page).getByRole("button", { name: button, exact: true }).click();
  await progress.evaluate(async (element: Started) => {
    await element.started;
  });
  return endOf(page, button);
}

type Started = Element & { started?: Promise<unknown> };

/** @returns how the task with this button ended, in words. */
export async function endOf(page: Page, button: string): Promise<string> {
  const progress = progressOf(page, button);
  await expect
    .poll(() => progress.getAttribute("class"), { timeout: 110_000 })
    .not.toMatch(/running/);
  return textOf(progress);
}

/** What tells of the progress of the task with this button. */
export function progressOf(page: Page, button: string): Locator {
  const buttons = panelOf(page).locator(".buttons", {
    has: page.getByRole("button", { name: button, exact: true }),
  });
  return buttons.locator("xpath=following-sibling::*[contains(@class, 'progress')]");
}

/** The body of a table, as texts, whether or not it is shown. */
export async function readTable(page: Page, caption: string | RegExp): Promise<string[][]> {
  const table = panelOf(page).locator("table", {
    has: page.locator("caption", { hasText: caption }),
  });
  return table.evaluate((element) =>
    [...(element as HTMLTableElement).tBodies[0]!.rows].map((row) =>
      [...row.cells].map((cell) => cell.textContent ?? ""),
    ),
  );
}

/** A fact of the report, such as its "Backend". */
export async function readFact(page: Page, name: string): Promise<string> {
  const terms = panelOf(page).locator(".facts > div", {
    has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }),
  });
  return textOf(terms.locator("dd"));
}

const pictures = new URL("../artefacts/playground/", import.meta.url);

/** Keeps a picture of the whole page, to be looked at. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  // As high as the page, so that what sticks to the window's edge covers nothing.
  const before = page.viewportSize()!;
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width: before.width, height });
  await page.screenshot({ path: fileURLToPath(new URL(`${name}.png`, pictures)) });
  await page.setViewportSize(before);
}
