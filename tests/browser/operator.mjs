// The operator's page: accessible, under its Content-Security-Policy, and it shows the calls there are and were.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let chromium;
before(async () => {
  server = await s.serve();
  chromium = await s.browser('operator', s.speechLike(4));
});
after(s.cleanUp);

test('live and past calls are shown, in every look, and nothing breaks the policy', async () => {
  const shots = process.env.OFFHOOK_SCREENSHOTS;
  if (shots) mkdirSync(shots, { recursive: true });
  for (const [colorScheme, width] of [['light', 1100], ['dark', 390]]) {
    const page = await s.tab(chromium, { colorScheme, viewport: { width, height: 800 }, reducedMotion: 'reduce' });
    const response = await page.goto(`${server.origin}/admin/`);
    assert.match(response.headers()['content-security-policy'], /default-src 'none'/);
    const user = `carol-${colorScheme}`;
    const phone = await s.signIn(await s.tab(chromium), server, user);
    await s.ring(phone, 'echo');
    await s.waitState(phone, 'On the line');
    await page.waitForFunction((name) => document.querySelector('#live')?.textContent.includes(name), user, { timeout: 20000 });
    await s.audit(page);
    // Each second is measured.
    await phone.waitForTimeout(2500);
    await phone.click('.hangup');
    await page.waitForFunction((name) => document.querySelector('#recent')?.textContent.includes(name), user, { timeout: 20000 });
    await page.waitForSelector('#live-empty:not([hidden])');
    // The page has told how its call was.
    await s.until('the report', async () => {
      const { recent } = await (await fetch(`${server.origin}/admin/now`)).json();
      const call = recent.find(({ caller }) => caller === user);
      return call?.caller_report;
    }).then((report) => {
      assert.equal(report.relayed, false);
      assert.ok(report.lost_per_mille >= 0 && report.jitter_ms >= 0 && report.round_trip_ms >= 0, JSON.stringify(report));
      assert.equal(report.mos_hundredths, undefined, 'not measured');
    });
    await s.audit(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, 'nothing sticks out');
    if (shots) await page.screenshot({ path: `${shots}/operator-${colorScheme}.png` });
    assert.deepEqual(page.complaints, []);
    for (const one of [page, phone]) await one.context().close();
  }
});

test('pausing keeps what is shown', async () => {
  const page = await s.tab(chromium);
  await page.goto(`${server.origin}/admin/`);
  await page.waitForSelector('#figures dd');
  await page.click('#pause');
  await page.waitForSelector('#pause[aria-pressed=true]');
  assert.equal(await page.textContent('#state'), 'Paused');
  let asked = 0;
  page.on('request', () => { asked += 1; });
  await page.waitForTimeout(4500);
  assert.equal(asked, 0);
  await page.context().close();
});
