import { formatDuration } from '../lib/duration.ts';
import { makePaint, wantsColor } from '../lib/command-line/paint.ts';

/** Shows the steps of the demo as they run. */
export interface Progress {
  begin(title: string): void;
  /** @param detail the result of the step. */
  end(ok: boolean, detail: string): void;
  /** Clears a half-drawn line. */
  close(): void;
}

type Stream = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 120;

export const silent: Progress = { begin() {}, end() {}, close() {} };

/** Shows a spinner and the elapsed time on a terminal, plain lines elsewhere. */
export function makeProgress(stream: Stream): Progress {
  return stream.isTTY && process.env['TERM'] !== 'dumb' ? live(stream) : plain(stream);
}

function plain(stream: Stream): Progress {
  let title = '';
  return {
    begin: (text) => void (title = text),
    end: (ok, detail) =>
      void stream.write(`  ${ok ? '✓' : '✗'} ${title}${detail && `: ${detail}`}\n`),
    close() {},
  };
}

function live(stream: Stream): Progress {
  const paint = makePaint(wantsColor(stream));
  let title = '';
  let begun = 0;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;
  const draw = (): void => {
    const time = formatDuration(performance.now() - begun);
    frame = (frame + 1) % FRAMES.length;
    stream.write(`\r\u001b[K  ${paint.cyan(FRAMES[frame] ?? '')} ${title} ${paint.dim(time)}`);
  };
  const clear = (): void => {
    if (timer) clearInterval(timer);
    timer = undefined;
    stream.write('\r\u001b[K\u001b[?25h');
  };
  return {
    begin(text) {
      [title, begun] = [text, performance.now()];
      stream.write('\u001b[?25l');
      timer = setInterval(draw, FRAME_MS);
      timer.unref();
      draw();
    },
    end(ok, detail) {
      clear();
      const mark = ok ? paint.green('✓') : paint.red('✗');
      const room = (stream.columns ?? 80) - title.length - 7;
      const text =
        detail.length > room && ok ? `${detail.slice(0, Math.max(0, room - 1))}…` : detail;
      stream.write(`  ${mark} ${title}${text && `: ${paint.dim(text)}`}\n`);
    },
    close() {
      if (timer) clear();
    },
  };
}
