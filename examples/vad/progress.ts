/** Says on stderr what is being done: one line that updates itself on a terminal, plain lines elsewhere. */

const TERMINAL_INTERVAL = 50;
const PLAIN_INTERVAL = 2000;

export interface Progress {
  /** A new piece of work. */
  stage(name: string): void;
  /** How far it has come; calls in quick succession are dropped. */
  detail(text: string): void;
  /** Nothing more is being done: the line goes away, so that results can be printed. */
  clear(): void;
}

export function createProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const onTerminal = stream.isTTY === true;
  let current = "";
  let lastWrite = 0;
  let lineIsOpen = false;

  function write(text: string): void {
    lastWrite = performance.now();
    lineIsOpen = onTerminal;
    if (onTerminal) stream.write(`\r\x1b[K${text.slice(0, (stream.columns || 80) - 1)}`);
    else stream.write(`${text}\n`);
  }

  return {
    stage(name) {
      current = name;
      write(`${name} …`);
    },
    detail(text) {
      const interval = onTerminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL;
      if (performance.now() - lastWrite >= interval) write(`${current}: ${text}`);
    },
    clear() {
      if (lineIsOpen) stream.write("\r\x1b[K");
      lineIsOpen = false;
    },
  };
}
