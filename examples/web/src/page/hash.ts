/** State in the address, behind the #, so that it can be shared and never reaches a server. */
import { useEffect, useState } from "preact/hooks";

/** Texts by name; what is not in the address has its default. */
export type HashState = Readonly<Record<string, string>>;

/** Names whose values are long texts, kept in base64. */
const ENCODED = new Set(["code"]);

export function readHash(hash: string): HashState {
  const state: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const text = ENCODED.has(name) ? decode(value) : value;
    if (text !== null) state[name] = text;
  }
  return state;
}

export function writeHash(state: HashState): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    parameters.set(name, ENCODED.has(name) ? encode(value) : value);
  }
  const text = parameters.toString();
  return text === "" ? "" : `#${text}`;
}

/** URL-safe base64 of UTF-8. */
function encode(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Null for what `encode` has not made. */
function decode(value: string): string | null {
  try {
    const bytes = atob(value.replaceAll("-", "+").replaceAll("_", "/"));
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Uint8Array.from(bytes, (character) => character.charCodeAt(0)),
    );
  } catch {
    return null;
  }
}

let current: HashState = readHash(location.hash);
const listeners = new Set<() => void>();

window.addEventListener("hashchange", () => {
  current = readHash(location.hash);
  for (const listener of listeners) listener();
});

function update(changes: Readonly<Record<string, string | null>>): void {
  const next: Record<string, string> = { ...current };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete next[name];
    else next[name] = value;
  }
  current = next;
  const address = `${location.pathname}${location.search}${writeHash(next)}`;
  history.replaceState(history.state, "", address);
  for (const listener of listeners) listener();
}

/** Settings of some names with their defaults, and a function that changes them; the address follows. */
export function useHash<Name extends string>(
  defaults: Readonly<Record<Name, string>>,
): [Readonly<Record<Name, string>>, (changes: Partial<Record<Name, string>>) => void] {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((count) => count + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  const values: Record<Name, string> = { ...defaults };
  for (const name of Object.keys(defaults) as Name[])
    values[name] = current[name] ?? defaults[name];
  const change = (changes: Partial<Record<Name, string>>) => {
    const entries = Object.entries(changes) as [Name, string][];
    update(
      Object.fromEntries(
        entries.map(([name, value]) => [name, value === defaults[name] ? null : value]),
      ),
    );
  };
  return [values, change];
}

/** Whether the address that the page was opened with, or was led to, brought this setting. */
export function isInHash(name: string): boolean {
  return Object.hasOwn(readHash(location.hash), name);
}
