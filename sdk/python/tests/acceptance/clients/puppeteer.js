// Uses a browser as Puppeteer's users do, and fails if anything is not as they expect.
//
//	node puppeteer.js LINK SITE OPEN
//
// LINK is where the DevTools are, SITE a page to visit, and OPEN one that another client has open.
const assert = require('node:assert');
const { default: puppeteer } = require('puppeteer-core');

const connect = link =>
  puppeteer.connect(link.startsWith('http') ? { browserURL: link } : { browserWSEndpoint: link });

async function visit(link, site, open) {
  const browser = await connect(link);
  const pages = (await browser.pages()).map(p => p.url());
  assert(pages.includes(open), `${open} is not among ${pages}`);
  const page = await browser.newPage();
  await page.goto(site);
  assert.equal(await page.title(), 'A page');
  assert.equal(await page.$eval('h1', e => e.innerText), 'Hello');
  await (await page.$('input')).uploadFile('/tmp/site/note'); // a file of the session
  await page.waitForSelector('::-p-text(note: sent)');
  assert.equal(Buffer.from(await page.screenshot()).subarray(1, 4).toString(), 'PNG');
  await browser.disconnect();
}

async function comeBack(link, site) {
  const browser = await connect(link);
  const page = (await browser.pages()).find(p => p.url() === site);
  assert.equal(await page.$eval('output', e => e.innerText), 'note: sent');
  await browser.disconnect();
}

const [link, site, open] = process.argv.slice(2);
visit(link, site, open).then(() => comeBack(link, site));
