// The tables of docs/QUALITY.md: medians of the runs, with the least and the greatest.
import { readFileSync, writeFileSync } from 'node:fs';

const NAMES = { rust: 'Offhook', chromium: 'Chromium' };
export const CONDITIONS = {
  clean: 'clean', loss: '10 % of all datagrams lost', processed: 'clean, with echo cancellation, noise suppression and gain control',
  light: 'clean, `offhook call --light`',
};

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};
function spread(values, decimals) {
  const known = values.filter((value) => Number.isFinite(value));
  if (!known.length) return '-';
  const text = (value) => value.toFixed(decimals);
  const range = known.length > 1 ? ` (${text(Math.min(...known))} to ${text(Math.max(...known))})` : '';
  return text(median(known)) + range;
}
const table = (rows) =>
  rows.map((row, i) => `| ${row.join(' | ')} |${i === 0 ? `\n|${'---|'.repeat(row.length)}` : ''}`).join('\n');
const costing = (runs, condition, ...kinds) => runs.filter((run) => run.cpu && run.condition === condition && run.kinds.join() === kinds.join());

/** One row per condition and direction. */
function sound(runs) {
  const rows = [['network and microphone', 'who speaks', 'who hears', 'mouth to ear, ms', '95th percentile, ms', 'PESQ', 'not heard, %']];
  for (const condition of Object.keys(CONDITIONS)) {
    const heard = {};
    for (const run of runs.filter((run) => run.condition === condition)) {
      for (const way of run.heard ?? []) (heard[`${NAMES[way.from]} | ${NAMES[way.to]}`] ??= []).push(way.score);
    }
    for (const [ends, scores] of Object.entries(heard)) {
      const column = (name, decimals) => spread(scores.map((score) => score[name]), decimals);
      rows.push([CONDITIONS[condition], ends, column('delay_mean', 0), column('delay_p95', 0), column('pesq', 2), column('not_heard_percent', 1)]);
    }
  }
  return table(rows);
}

function cost(runs) {
  const rows = [[
    'network and microphone', '`offhook call`, in a call with Chromium', 'the browser at its other end', 'of that, the processes of the call',
    'the browser, in a call with a browser', 'of that, the processes of the call', "Offhook's share of each",
  ]];
  const shares = {};
  for (const condition of Object.keys(CONDITIONS)) {
    const mixed = costing(runs, condition, 'rust', 'chromium');
    const alike = costing(runs, condition === 'light' ? 'clean' : condition, 'chromium', 'chromium');
    if (!mixed.length || !alike.length) continue;
    const each = (some, end, what) => some.map((run) => run.cpu[end][what]);
    const both = (what) => [...each(alike, 0, what), ...each(alike, 1, what)];
    const ours = each(mixed, 0, 'call');
    const theirs = [each(mixed, 1, 'whole'), each(mixed, 1, 'call'), both('whole'), both('call')];
    shares[condition] = theirs.map((values) => median(ours) / median(values));
    const cells = [ours, ...theirs].map((values) => spread(values, 2));
    rows.push([CONDITIONS[condition], ...cells, shares[condition].map(percent).join(', ')]);
  }
  return { text: table(rows), shares };
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;

function standing({ shares }) {
  const judge = (which) =>
    Object.entries(shares).map(([condition, of]) => `${CONDITIONS[condition]}: ${(100 * of[which]).toFixed(1)} %, ${of[which] <= 1 / 3 ? 'met' : '**not met**'}`).join('; ');
  return [
    'Offhook wants to need at most a third of the processor time of a browser.',
    `Of the one at the other end of its call: ${judge(0)}.`,
    `Of one in a call with a browser: ${judge(2)}.`,
  ].join('\n');
}

export function blocks(result) {
  const { runs, circumstances } = result;
  const costs = cost(runs);
  const disturbed = runs.filter((run) => run.disturbed).map((run) => `${run.name} (${run.disturbed})`);
  const quiet = disturbed.length ? `Disturbed runs, to be made again: ${disturbed.join('; ')}.` : 'No run was disturbed.';
  return [
    circumstances, quiet, '', sound(runs), '', 'Processor seconds per minute of call and end:', '', costs.text, '', standing(costs),
  ].join('\n');
}

/** Replaces what stands between the two marks. */
export function write(result, page) {
  const [begin, end] = ['<!-- beside Chromium: make beside -->', '<!-- end of beside Chromium -->'];
  const text = readFileSync(page, 'utf8');
  const [before, rest, ...more] = text.split(begin);
  const [, after] = rest?.split(end) ?? [];
  if (after === undefined || more.length) throw new Error(`${page} has no one place between ${begin} and ${end}`);
  writeFileSync(page, `${before}${begin}\n${blocks(result)}\n${end}${after}`);
}
