/** Pages of a packed project in Chromium, and what came of them. */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import type { Browser } from "playwright";
import type { Page } from "./http.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** The files below a folder as pages of a site, by their paths below `base`. */
export function pagesBelow(
  folder: string,
  { base = "/", headers = {} }: { base?: string; headers?: Record<string, string> } = {},
): Record<string, Page> {
  const pages: Record<string, Page> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = types[extname(entry.name)];
    if (!entry.isFile() || !type) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const path = base + relative(folder, file).split(sep).join("/");
    pages[path] = { type, headers, body: readFileSync(file) };
  }
  return pages;
}

/** A module for pages that shows what came of them. */
export const showing = {
  "show.js": `
    export function show(outcome) {
      const element = document.createElement("pre");
      element.id = "outcome";
      element.textContent = JSON.stringify({
        outcome,
        isolated: globalThis.crossOriginIsolated,
        hasWebgpu: Boolean(navigator.gpu),
      });
      document.body.append(element);
    }`,
} as const;

export interface Visit {
  readonly outcome: unknown;
  readonly isolated: boolean;
  readonly hasWebgpu: boolean;
  /** Paths of all that the page requested. */
  readonly requests: readonly string[];
  /** Errors, thrown by the page or told in the browser's console. */
  readonly errors: readonly string[];
}

/** @throws Error where the page shows nothing, with what went wrong in it */
export async function visit(browser: Browser, url: string): Promise<Visit> {
  const context = await browser.newContext();
  const requests: string[] = [];
  const errors: string[] = [];
  context.on("request", (request) => requests.push(new URL(request.url()).pathname));
  try {
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    const failed = new Promise<never>((_, reject) => {
      page.on("pageerror", (error) => {
        errors.push(String(error));
        reject(error);
      });
      // A module that imports what is not there does not run, and throws nothing.
      page.on("response", (response) => {
        if (response.status() >= 400) reject(new Error(`no ${response.url()}`));
      });
    });
    failed.catch(() => {});
    await page.goto(url);
    const shown = page.locator("#outcome").textContent({ timeout: 60_000 });
    shown.catch(() => {});
    const text = await Promise.race([shown, failed]).catch((error) => {
      throw new Error(`${url}: ${error}; ${errors.join("; ")}; requested ${requests.join(" ")}`);
    });
    return { ...JSON.parse(text!), requests, errors };
  } finally {
    await context.close();
  }
}
