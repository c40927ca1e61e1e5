// The softphone page itself: accessible, small, and under its Content-Security-Policy.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let chromium;
before(async () => {
  server = await s.serve();
  chromium = await s.browser('page', s.speechLike(4));
});
after(s.cleanUp);

test('every view is accessible, dark and light, wide and narrow', async () => {
  const shots = process.env.OFFHOOK_SCREENSHOTS;
  if (shots) mkdirSync(shots, { recursive: true });
  for (const [colorScheme, width] of [['light', 900], ['dark', 390]]) {
    const viewport = { width, height: 800 };
    const page = await s.tab(chromium, { colorScheme, viewport, reducedMotion: 'reduce' });
    await page.goto(server.origin);
    await s.audit(page);
    await s.signIn(page, server, `alice-${colorScheme}`);
    await s.audit(page);
    const other = await s.signIn(await s.tab(chromium), server, 'bob');
    await s.ring(other, `alice-${colorScheme}`);
    await page.waitForSelector('.answer:not([hidden])');
    await s.audit(page);
    await page.click('.answer');
    await s.waitState(page, 'On the line');
    await page.click('.keys-toggle');
    await page.waitForFunction(() => /ms/.test(document.querySelector('.words').textContent), undefined, { timeout: 20000 });
    await page.waitForTimeout(6000);
    await s.audit(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, 'nothing sticks out');
    if (shots) {
      await page.waitForFunction(() => document.querySelector('.meter-in').value > 0.5).catch(() => {});
      await page.screenshot({ path: `${shots}/softphone-${colorScheme}.png` });
    }
    assert.deepEqual(page.complaints, []);
    for (const one of [page, other]) await one.context().close();
  }
});

test('keys answer, mute and hang up', async () => {
  const alice = await s.signIn(await s.tab(chromium), server, 'alice');
  const bob = await s.signIn(await s.tab(chromium), server, 'bob');
  await s.ring(alice, 'bob');
  await bob.waitForSelector('.answer:not([hidden])');
  await bob.keyboard.press('a');
  await s.waitState(bob, 'On the line');
  await bob.keyboard.press('m');
  await bob.waitForSelector('.mute[aria-pressed=true]');
  await bob.keyboard.press('d');
  await s.waitState(alice, 'call over');
  for (const page of [alice, bob]) await page.context().close();
});

test('several calls ring at once: who types does not answer, a name stands beside the id, and the tab says who calls', async () => {
  const alice = await s.signIn(await s.tab(chromium, { colorScheme: 'dark', viewport: { width: 320, height: 700 }, reducedMotion: 'reduce' }), server, 'alice');
  const callers = [['bob', ''], ['carol-with-a-long-id-0123456789-0123456789-0123456789', 'أميرة الخطيب']];
  const pages = [];
  for (const [user, name] of callers) {
    const page = await s.application(chromium, server, user);
    await alice.keyboard.type('c');
    await page.evaluate(async (name) => {
      client.pushNotificationDisplayName = name;
      await client.callClient.callUser('alice');
    }, name);
    pages.push(page);
  }
  await s.until('two that ring', async () => (await alice.locator('.call.ringing').count()) === 2);
  assert.equal(await alice.evaluate(() => document.activeElement.id), 'callee');
  assert.match(await alice.title(), /^bob calls/);
  assert.deepEqual(await alice.locator('.name').allTextContents(), ['أميرة الخطيب', 'bob']);
  assert.deepEqual(await alice.locator('.id:visible').allTextContents(), [callers[1][0]]);
  assert.match(await alice.textContent('#announcement'), /calls you/);
  assert.ok((await alice.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)) <= 0, 'nothing sticks out');
  await s.audit(alice);
  for (const page of pages) await page.context().close();
  await s.until('two that are over', async () => (await alice.locator('.call.over').count()) === 2);
  await s.audit(alice);
  assert.equal(await alice.title(), 'Offhook');
  await alice.context().close();
});

test('a narrow page and the keyboard alone: nothing of a video call leaves its card, the code is one line, an id is said as it is written', async () => {
  const narrow = { viewport: { width: 360, height: 640 }, reducedMotion: 'reduce' };
  const [alice, bob] = [await s.tab(chromium, narrow), await s.tab(chromium, narrow)];
  for (const [page, name] of [[alice, 'alice'], [bob, 'bob']]) {
    await page.goto(server.origin);
    await page.waitForFunction(() => document.getElementById('intro').offsetParent);
    for (const key of ['Tab', ...name, 'Enter']) await page.keyboard.press(key);
    await page.waitForSelector('#phone:not([hidden])');
  }
  for (const key of [...'bob', 'Tab', 'Tab', 'Enter']) await alice.keyboard.press(key);
  await bob.waitForSelector('.answer:not([hidden])');
  // From the name, where the focus is, past both ways to ring.
  for (const key of ['Tab', 'Tab', 'Tab', 'Enter']) await bob.keyboard.press(key);
  for (const page of [alice, bob]) {
    await s.waitState(page, 'On the line');
    await page.waitForSelector('.picture:not([hidden])');
    await page.waitForSelector('.code:not([hidden])');
  }
  await bob.evaluate(() => document.activeElement.blur());
  await bob.keyboard.press('k');
  await bob.waitForSelector('.keypad:not([hidden])');
  for (const width of [360, 320]) {
    await bob.setViewportSize({ width, height: 640 });
    const outside = await bob.evaluate(() => {
      const edge = (of) => of.getBoundingClientRect().right - parseFloat(getComputedStyle(of).paddingRight) + 1;
      const [page, card] = ['#phone', '.call'].map((name) => document.querySelector(name));
      const inside = [...page.children, ...document.querySelectorAll('#dial *')].filter((part) => part.getBoundingClientRect().right > edge(page));
      const within = [...card.querySelectorAll('*')].filter((part) => !part.closest('video, svg') && part.getBoundingClientRect().right > edge(card));
      return [...inside, ...within].map((part) => part.outerHTML.slice(0, 60));
    });
    assert.deepEqual(outside, [], `${width}`);
    const labels = await bob.evaluate(() => [...document.querySelectorAll('.actions button:not([hidden]) span')].map((label) => {
      const words = document.createRange();
      words.selectNodeContents(label);
      const { left, right } = words.getBoundingClientRect();
      return [left, right];
    }));
    assert.equal(labels.length, 5);
    labels.slice(1).forEach(([left], i) => assert.ok(left - labels[i][1] >= 2, `${width}: label ${i} touches the next: ${labels}`));
  }
  await s.audit(bob);
  const lines = (page) => page.evaluate(() => {
    const words = document.createRange();
    words.selectNodeContents(document.querySelector('.code'));
    return words.getClientRects().length;
  });
  assert.deepEqual([await lines(alice), await lines(bob)], [1, 1]);
  await bob.keyboard.press('d');
  await alice.waitForFunction(() => document.getElementById('notice').textContent.includes('call over'));
  assert.match(await alice.textContent('#notice'), /^\W?bob\W?: call over$/);
  await s.close(alice, bob);
});

test('a microphone that is asked for once, and is not allowed: the page says what to do', async () => {
  const page = await s.tab(chromium);
  await page.addInitScript(() => {
    window.asked = 0;
    navigator.mediaDevices.getUserMedia = () => {
      window.asked += 1;
      return new Promise((_, reject) => (window.deny = () => reject(new DOMException('Permission denied', 'NotAllowedError'))));
    };
  });
  await s.signIn(page, server, 'alice');
  await s.ring(page, 'echo');
  await s.ring(page, 'echo');
  await page.evaluate(() => window.deny());
  await page.waitForFunction(() => /allow it beside the address/.test(document.getElementById('notice').textContent));
  assert.deepEqual([await page.evaluate(() => window.asked), await page.locator('.call').count()], [1, 0]);
  await s.audit(page);
  await page.context().close();
});

test('one person alone tries a call: the echo user answers, and is among the recent calls, which ring again', async () => {
  const page = await s.signIn(await s.tab(chromium), server, 'alone');
  await s.ring(page, 'echo');
  await s.waitState(page, 'On the line');
  await s.until('the own voice', async () => (await s.hear(page, 2)).some((sample) => Math.abs(sample) > 0.05));
  await page.click('.hangup');
  await page.waitForSelector('.call', { state: 'detached' });
  assert.match(await page.textContent('#past'), /echo/);
  await page.reload();
  await s.signIn(page, server, 'alone');
  await page.click('#past button');
  await s.waitState(page, 'On the line');
  await s.audit(page);
  await page.click('.hangup');
  await page.context().close();
});

test('a first visit is small, and the policy lets nothing foreign run', async () => {
  const page = await s.tab(chromium);
  const bodies = [];
  page.on('response', (response) => bodies.push(response.body()));
  const response = await page.goto(server.origin, { waitUntil: 'networkidle' });
  const bytes = (await Promise.all(bodies)).reduce((sum, body) => sum + body.length, 0);
  assert.ok(bytes > 40000 && bytes < 80 * 1024, `${bytes} bytes`);
  const policy = response.headers()['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  const ran = await page.evaluate(async () => {
    document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = true' }));
    const foreign = await fetch('http://127.0.0.2:9/').then(() => true, () => false);
    return window.ran === true || foreign;
  });
  assert.equal(ran, false);
  assert.ok(page.complaints.some((text) => text.includes('Content Security Policy')));
  await page.context().close();
});
