/** Chromium from the npm package @sparticuz/chromium, driven by Playwright: no browser to install. */
import chromiumPackage from "@sparticuz/chromium";
import { type Browser, chromium } from "playwright";

export async function launchChromium(): Promise<Browser> {
  const executablePath = await chromiumPackage.executablePath();
  return chromium.launch({
    executablePath,
    headless: true,
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
  });
}
