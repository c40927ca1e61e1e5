// The operator's page: what /admin/now tells, again every two seconds.

const EVERY = 2000;
const STATES = { init: 'Asked about', progressing: 'Reaching', ringing: 'Ringing', answered: 'Answered', established: 'Talking' };
const CAUSES = {
  timeout: 'Not reached', denied: 'Declined', no_answer: 'Not answered', failure: 'Failed', hung_up: 'Hung up', canceled: 'Cancelled',
  other_device_answered: 'Answered elsewhere', inactive: 'Connection lost',
};

const $ = (id) => document.getElementById(id);
let paused = false;

const whole = new Intl.NumberFormat();
const clock = (ms) => new Date(ms).toLocaleTimeString();

/** 0.4 s, 12 s, 3 min 5 s. */
function lasted(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

function heard(report) {
  if (!report) return '–';
  const parts = [];
  if (report.mos_hundredths !== undefined) parts.push(`MOS ${(report.mos_hundredths / 100).toFixed(1)}`);
  if (report.lost_per_mille !== undefined) parts.push(`${(report.lost_per_mille / 10).toFixed(1)} % lost`);
  if (report.round_trip_ms !== undefined) parts.push(`${report.round_trip_ms} ms`);
  if (report.relayed) parts.push('relayed');
  return parts.join(', ') || '–';
}

const isPoor = (report) => report?.mos_hundredths < 350 || report?.lost_per_mille > 50;

/** A row of texts; a cell is a text or [text, class]. */
function row(cells) {
  const line = document.createElement('tr');
  for (const cell of cells) {
    const [text, kind] = Array.isArray(cell) ? cell : [cell, ''];
    line.append(Object.assign(document.createElement('td'), { textContent: text, className: kind }));
  }
  return line;
}

function figure([name, value]) {
  const box = document.createElement('div');
  box.append(
    Object.assign(document.createElement('dt'), { textContent: name }),
    Object.assign(document.createElement('dd'), { textContent: value }),
  );
  return box;
}

function show(now) {
  $('version').textContent = now.version;
  const { sessions, calls, queues, process } = now;
  const waiting = Object.values(queues).reduce((sum, depth) => sum + depth, 0);
  const figures = [
    ['Connections', whole.format(now.connections)],
    ['Sessions', whole.format(sessions.connected)],
    ['Waiting for their client', whole.format(sessions.waiting)],
    ['Ringing', whole.format(calls.ringing)],
    ['Answered', whole.format(calls.answered)],
    ['Talking', whole.format(calls.established)],
    ['Calls since the start', whole.format(now.calls_started)],
    ['Waiting inside', whole.format(waiting)],
  ];
  if (now.nodes) figures.unshift(['Nodes', whole.format(now.nodes.length)]);
  if (process) figures.push(['Memory', `${whole.format(Math.round(process.resident_bytes / 1048576))} MiB`]);
  $('figures').replaceChildren(...figures.map(figure));
  $('live').replaceChildren(...now.live.map((call) =>
    row([call.caller, call.callee, STATES[call.state] ?? call.state, lasted(call.age_ms), call.call_id])));
  $('live-empty').hidden = now.live.length > 0;
  $('recent').replaceChildren(...now.recent.map((call) => row([
    clock(call.ended_ms), call.caller, call.callee,
    [CAUSES[call.cause] ?? call.cause, call.cause === 'failure' ? 'poor' : ''],
    lasted(call.ringing_ms), lasted(call.media_ms), lasted(call.talked_ms),
    [heard(call.caller_report), isPoor(call.caller_report) ? 'poor' : ''],
    [heard(call.callee_report), isPoor(call.callee_report) ? 'poor' : ''],
  ])));
  $('recent-empty').hidden = now.recent.length > 0;
}

async function look() {
  if (!paused) {
    try {
      const answer = await fetch('/admin/now', { cache: 'no-store' });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const now = await answer.json();
      show(now);
      $('state').textContent = 'Live';
      $('presence').classList.remove('away');
      $('notice').textContent = now.unreachable_nodes ? `Without nodes that do not answer: ${now.unreachable_nodes.join(', ')}` : '';
    } catch (error) {
      $('state').textContent = 'Not reached';
      $('presence').classList.add('away');
      $('notice').textContent = `No news from the server: ${error.message}`;
    }
  }
  setTimeout(look, EVERY);
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  $('state').textContent = paused ? 'Paused' : 'Live';
});

look();
