// Uses a browser as Playwright's users do, and fails if anything is not as they expect.
//
//	node playwright.js LINK SITE OPEN
//
// LINK is where the DevTools are, SITE a page to visit, and OPEN one that another client has open.
const assert = require('node:assert');
const { chromium } = require('playwright-core');

async function visit(link, site, open) {
  const browser = await chromium.connectOverCDP(link);
  const [context] = browser.contexts();
  assert(context.pages().some(p => p.url() === open), `${open} is not among ${context.pages().map(p => p.url())}`);
  const page = await context.newPage();
  await page.goto(site);
  assert.equal(await page.title(), 'A page');
  assert.equal(await page.innerText('h1'), 'Hello');
  await page.setInputFiles('input', { name: 'note', mimeType: 'text/plain', buffer: Buffer.from('sent') });
  await page.getByText('note: sent').waitFor();
  assert.equal((await page.screenshot()).subarray(1, 4).toString(), 'PNG');
  await browser.close(); // which only disconnects
}

async function comeBack(link, site) {
  const browser = await chromium.connectOverCDP(link);
  const page = browser.contexts()[0].pages().find(p => p.url() === site);
  assert.equal(await page.innerText('output'), 'note: sent');
  await browser.close();
}

const [link, site, open] = process.argv.slice(2);
visit(link, site, open).then(() => comeBack(link, site));
