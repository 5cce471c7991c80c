// Looks at the console's page in a real Chromium: node check.mjs URL SCREENSHOT
//
// Asserts that numbers move without a reload, that a chart has points, that the keyboard works, that a phone has no sideways
// scrolling, and that the console stays free of errors. Saves SCREENSHOT (light), and SCREENSHOT with -dark and -phone before its
// ending. `--without-project` expects the page of a broker without one. CHROMIUM names the browser, MILLSTREAM_WAIT_S how long
// the first rows may take (60).

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [url, screenshot, ...flags] = process.argv.slice(2);
if (!url || !screenshot) {
  console.error('usage: node check.mjs URL SCREENSHOT [--without-project]');
  process.exit(2);
}
const withoutProject = flags.includes('--without-project');
const waitMs = Number(process.env.MILLSTREAM_WAIT_S ?? 60) * 1000;
const executablePath =
  process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
if (!executablePath) {
  console.error('no Chromium found: install it (apt-get install chromium), or name it in CHROMIUM');
  process.exit(3);
}

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-dev-shm-usage',
  ],
});
const complaints = [];
const requests = [];

async function open(options, path = '') {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(new URL(path, url).href);
  await page.locator('.status').waitFor();
  return page;
}

async function step(what, check) {
  const begun = performance.now();
  try {
    await check();
  } catch (error) {
    console.error(`not ok  ${what}`);
    throw error;
  }
  console.log(`ok      ${what} (${Math.round(performance.now() - begun)} ms)`);
}

const named = (part) => screenshot.replace(/(\.\w+)?$/, (ending) => `-${part}${ending || '.png'}`);

try {
  const page = await open({ viewport: { width: 1440, height: 1180 }, colorScheme: 'light' });

  if (withoutProject) {
    await step('teaches the first three steps, with the actual address', async () => {
      assert.equal(await page.locator('.steps li').count(), 3);
      const { overview } = await (await fetch(new URL('/api/v1/overview', url))).json();
      assert.ok((await page.locator('.steps').textContent()).includes(overview.kafka_address));
      await page.getByRole('tab', { name: 'kcat' }).focus();
      await page.keyboard.press('ArrowRight');
      assert.equal(await page.getByRole('tab', { selected: true }).textContent(), 'kafka-python');
    });
  } else {
    await step('numbers move without a reload', async () => {
      const seen = new Set();
      const deadline = Date.now() + waitMs;
      while (seen.size < 3 && Date.now() < deadline) {
        seen.add(await page.locator('.kpis').textContent());
        await page.waitForTimeout(400);
      }
      assert.ok(seen.size >= 3, `the numbers stood still: ${[...seen]}`);
    });

    await step('the pipeline is drawn, with edges and rates', async () => {
      await page.locator('.graph .box, .graph .step-row').first().waitFor();
      assert.ok((await page.locator('.graph .edge path').count()) >= 2, 'too few edges');
      assert.ok((await page.locator('.graph .box-rate').count()) >= 2, 'too few rates');
    });

    await step('a chart has points', async () => {
      await page.locator('.featured .line path, .featured .bar-track i').first().waitFor({ timeout: waitMs });
      const paths = await page.locator('.featured .line path').evaluateAll((all) => all.map((path) => path.getAttribute('d')));
      const bars = await page.locator('.featured .bar-track i').count();
      assert.ok(bars > 0 || paths.some((path) => path && path.length > 20 && !path.includes('NaN')), `no points in ${paths}`);
    });

    await step('a table has rows, a topic has records', async () => {
      await page.locator('.featured tbody tr').first().waitFor();
      // Records are asked for when their card comes into view.
      await page.getByText('Newest records').first().scrollIntoViewIfNeeded();
      await page.locator('.record-line').first().waitFor();
      await page.evaluate(() => scrollTo(0, 0));
    });
  }
  await page.waitForTimeout(600);
  await page.screenshot({ path: screenshot });

  await step('/ finds, arrows choose, Enter opens', async () => {
    await page.locator('body').click({ position: { x: 700, y: 8 } });
    await page.keyboard.press('/');
    await page.locator('dialog.palette').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'INPUT', 'the field has the focus');
    if (!withoutProject) {
      await page.keyboard.type('table');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => location.hash.startsWith('#/tables/'));
      await page.locator('.choices select').first().waitFor({ timeout: waitMs });
      await page.keyboard.press('o');
      await page.waitForFunction(() => location.hash === '#/');
    } else {
      await page.keyboard.press('Escape');
    }
    await page.locator('dialog').waitFor({ state: 'detached' });
  });

  await step('? shows the keys, Escape closes', async () => {
    await page.keyboard.press('?');
    await page.locator('dialog.help').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
  });

  await step('the first Tab is the way past the list', async () => {
    await page.reload();
    await page.locator('.status').waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  });

  if (!withoutProject) {
    await step('a record opens by keyboard, and its text is never markup', async () => {
      await page.evaluate(() => (location.hash = '#/topics'));
      await page.locator('.topic-row').first().click();
      const line = page.locator('.record-line').first();
      await line.waitFor({ timeout: waitMs });
      await page.getByRole('button', { name: 'Pause' }).click();
      await line.focus();
      await page.keyboard.press('Enter');
      await page.locator('.record-open').waitFor();
      assert.equal(await page.locator('.record-value b, .record-open pre *, .rows td b').count(), 0);
    });
  }

  await step('t switches to dark, and it is remembered', async () => {
    await page.evaluate(() => (location.hash = '#/'));
    await page.locator('h1').click();
    await page.keyboard.press('t');
    const dark = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
    assert.equal(await dark(), 'dark');
    await page.reload();
    assert.equal(await dark(), 'dark');
    await page.locator('.status').waitFor();
    await page.waitForTimeout(2500);
    await page.screenshot({ path: named('dark') });
  });

  await step('a phone has no sideways scrolling', async () => {
    const phone = await open({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
    await phone.locator('.kpis, .steps').first().waitFor();
    await phone.waitForTimeout(2500);
    for (const section of ['', 'tables', 'topics', 'flows']) {
      await phone.evaluate((to) => (location.hash = `#/${to}`), section);
      await phone.waitForTimeout(300);
      const [content, width] = await phone.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= width, `#/${section} is ${content} px wide on a phone of ${width} px`);
    }
    await phone.evaluate(() => (location.hash = '#/'));
    await phone.waitForTimeout(800);
    await phone.screenshot({ path: named('phone') });
    await phone.context().close();
  });

  if (!withoutProject) {
    await step('trouble is told, and nothing is called caught up meanwhile', async () => {
      const state = await (await fetch(new URL('/api/v1/overview', url))).json();
      const past = await (await fetch(new URL('/api/v1/history', url))).json();
      const { overview } = state;
      const [flow, last] = [overview.flows[0], overview.flows.at(-1)];
      Object.assign(flow, { status: 'failed', lag: null });
      overview.kafka_address = '0.0.0.0:9092';
      overview.problems = [
        { bad: true, section: null, name: null, text: 'The disk of the data folder /data is full' },
        { bad: true, section: 'flows', name: flow.name, text: 'has stopped: no disk' },
      ];
      past.series[`flow.in/${last.name}`] = Array(60).fill(2);
      past.series[`flow.late/${last.name}`] = Array(60).fill(1.9);
      past.series[`flow.dead/${last.name}`] = [];
      const troubled = await (await browser.newContext({ viewport: { width: 1440, height: 1180 } })).newPage();
      const events = `event: state\ndata: ${JSON.stringify({ ...state, sequence: -1 })}\n\n`;
      await troubled.route('**/api/v1/history', (route) => route.fulfill({ json: past }));
      await troubled.route('**/api/v1/events', (route) => route.fulfill({ contentType: 'text/event-stream', body: events }));
      await troubled.goto(url);
      await troubled.locator('.notice.bad').nth(1).waitFor();
      assert.deepEqual(await troubled.locator('.notice.bad').allTextContents(), [
        'The disk of the data folder /data is full',
        `${flow.name} has stopped: no disk`,
      ]);
      const numbers = await troubled.locator('.kpis').textContent();
      assert.ok(numbers.includes('stopped') && !numbers.includes('caught up'), numbers);
      const losses = await troubled.locator('.notice.waits').allTextContents();
      assert.ok(losses.length === 1 && losses[0].includes(`${last.name} dropped 114 of 120 rows`), `${losses}`);
      assert.ok((await troubled.locator('.status').textContent()).includes(`${new URL(url).hostname}:9092`));
      await troubled.screenshot({ path: named('trouble') });
      await troubled.context().close();
    });
  }

  await step('who asks for stillness gets it', async () => {
    const calm = await open({ viewport: { width: 1200, height: 900 }, reducedMotion: 'reduce' });
    await calm.locator('.kpis, .steps').first().waitFor();
    await calm.waitForTimeout(500);
    assert.equal(await calm.locator('animateMotion').count(), 0);
    await calm.context().close();
  });

  await step('nothing came from elsewhere, and the console is silent', async () => {
    const elsewhere = requests.filter((request) => !request.startsWith(new URL('/', url).href) && !request.startsWith('data:'));
    assert.deepEqual(elsewhere, []);
    assert.deepEqual(complaints, []);
  });
} catch (error) {
  console.error(error.message);
  if (complaints.length > 0) console.error(complaints.join('\n'));
  process.exitCode = 1;
} finally {
  await browser.close();
}
