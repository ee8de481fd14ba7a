// The page that plays what a session's browser showed. What it plays is hostile: it
// is shown by rrweb in a frame without scripts, and written here as text only.
const $ = (id) => document.getElementById(id);
const base = new URL("../", import.meta.url);

const idle = 5000; // milliseconds without anything are idle time
const mostNotes = 3000; // of each kind are listed

// Times are in milliseconds since 1970, as the session had them.
let begin = Infinity;
let end = 0;
let at = 0; // what is shown
let playing = true;
let live = true; // what comes is shown as it comes, once all there is has been shown
let whole = false; // no more will come
const times = []; // of all events, in order
const clicks = [];
const faults = [];
const switches = []; // what page was active from when on
const pages = new Map(); // by number
let shown = null; // the page

// A page's events, and what plays them.
class Page {
	constructor(number) {
		this.number = number;
		this.events = [];
		this.addresses = [];
		this.ready = false; // there is a whole picture to begin with, at the time whole
		this.replayer = null;
		this.option = document.createElement("option");
		this.option.value = String(number);
		$("pages").append(this.option);
		this.name();
	}

	name() {
		const last = this.addresses.at(-1);
		this.option.textContent = `${this.number}: ${last ? last.address.replace(/^https?:\/\//, "").slice(0, 60) : "new page"}${this.closed ? " (closed)" : ""}`;
	}

	address(time) {
		return this.addresses.findLast((a) => a.at <= time)?.address ?? "";
	}

	add(event) {
		if (event.type === 4) {
			this.addresses.push({ at: event.timestamp, address: String(event.data?.href ?? "") });
			this.name();
		}
		if (event.type === 2 && !this.ready) {
			this.ready = true;
			this.whole = event.timestamp;
		}
		if (this.replayer) this.replayer.addEvent(event);
		else this.events.push(event);
	}

	// open makes what plays the page. It never comes to its end, as more events may come.
	open() {
		this.root = document.createElement("div");
		this.root.className = "screen";
		$("screens").append(this.root);
		const first = this.first = this.events[0].timestamp;
		const never = { type: 5, timestamp: first + 1e12, data: { tag: "never", payload: null } };
		this.replayer = new rrwebReplay.Replayer([...this.events, never], {
			root: this.root, speed: speed(), showWarning: false, mouseTail: { strokeStyle: "#5b88e0" }, plugins: [{ onBuild: dress }],
		});
		this.events = null;
		this.size = { width: 1280, height: 720 };
		this.replayer.on("resize", (size) => { this.size = size; this.fit(); });
		this.replayer.on("fullsnapshot-rebuilded", () => watch(this.replayer.iframe.contentDocument));
	}

	fit() {
		const stage = $("stage");
		const scale = Math.min(stage.clientWidth / this.size.width, stage.clientHeight / this.size.height, 1.5);
		const left = (stage.clientWidth - this.size.width * scale) / 2, top = (stage.clientHeight - this.size.height * scale) / 2;
		this.root.style.transform = `translate(${Math.max(left, 0)}px, ${Math.max(top, 0)}px) scale(${scale})`;
	}

	// show shows the page as it was at a time.
	show(time) {
		if (!this.replayer) this.open();
		this.root.hidden = false;
		this.fit();
		const offset = Math.max(time, this.whole) + 1 - this.first; // what is of that very time is shown as well
		if (playing) this.replayer.play(offset);
		else this.replayer.pause(offset);
	}

	hide() {
		this.replayer.pause();
		this.root.hidden = true;
	}
}

const speed = () => Number($("speed").value);

function pageOf(number) {
	if (!pages.has(number)) pages.set(number, new Page(number));
	return pages.get(number);
}

// # Pictures, styles and fonts, which are in the replay

const assets = new Map(); // addresses of blobs by what they were
const lacking = new Map(); // what is to be done once an asset comes, by its address
const kinds = /^(image\/|text\/css|font\/|application\/(x-)?font)/;

function addAsset({ url, type, data }) {
	if (assets.has(url) || !kinds.test(type)) return;
	let bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
	if (type === "text/css") {
		const css = new TextDecoder().decode(bytes);
		for (const inner of addressesIn(css, url)) lacks(inner, () => { freshen(url, css); });
		bytes = new TextEncoder().encode(dressed(css, url));
	}
	assets.set(url, URL.createObjectURL(new Blob([bytes], { type })));
	const waiting = lacking.get(url) ?? [];
	lacking.delete(url);
	for (const act of waiting) act();
}

// freshen makes a style sheet anew in which something was lacking that has come.
function freshen(url, css) {
	const before = assets.get(url);
	const after = URL.createObjectURL(new Blob([dressed(css, url)], { type: "text/css" }));
	assets.set(url, after);
	for (const page of pages.values()) {
		for (const link of page.replayer?.iframe.contentDocument.querySelectorAll("link") ?? []) if (link.href === before) link.href = after;
	}
	URL.revokeObjectURL(before);
}

function lacks(url, act) {
	if (assets.has(url) || !/^https?:/.test(url)) return;
	if (!lacking.has(url)) lacking.set(url, []);
	if (lacking.get(url).length < 1000) lacking.get(url).push(act);
}

const reference = /url\(\s*(["']?)(.*?)\1\s*\)/g;

function resolve(address, from) {
	try { return new URL(address, from).href; } catch { return ""; }
}

function addressesIn(css, from) { return [...css.matchAll(reference)].map((m) => resolve(m[2], from)); }

function dressed(css, from) {
	return css.replace(reference, (all, _, address) => {
		const blob = assets.get(resolve(address, from));
		return blob ? `url("${blob}")` : all;
	});
}

// swap has an attribute name an asset instead of an address, now or when it comes.
function swap(element, name, address) {
	if (!/^https?:/.test(address)) return;
	const blob = assets.get(address);
	if (blob) return element.setAttribute(name, blob);
	lacks(address, () => { if (element.getAttribute(name) === address) element.setAttribute(name, assets.get(address)); });
}

// dress has something of a page show assets. It may be of any kind, and do nothing.
function dress(node) {
	if (node.nodeType === 3 && node.parentNode?.nodeName === "STYLE") node = node.parentNode;
	if (node.nodeType !== 1) return;
	const src = node.getAttribute("src");
	if (src && node.nodeName !== "IFRAME") swap(node, "src", src);
	const set = node.getAttribute("srcset");
	if (set) {
		const known = set.split(",").map((s) => s.trim().split(/\s+/)[0]).find((a) => assets.has(a));
		node.removeAttribute("srcset");
		if (known && node.nodeName === "IMG") node.setAttribute("src", assets.get(known));
	}
	for (const name of ["poster", "background"]) if (node.getAttribute(name)) swap(node, name, node.getAttribute(name));
	if (node.nodeName === "LINK" || node.nodeName.toLowerCase() === "image") {
		for (const name of ["href", "xlink:href"]) if (node.getAttribute(name)) swap(node, name, node.getAttribute(name));
	}
	const style = node.getAttribute("style");
	if (style?.includes("url(")) dressText(style, () => node.getAttribute("style"), (css) => node.setAttribute("style", css));
	if (node.nodeName === "STYLE" && node.textContent.includes("url(")) {
		dressText(node.textContent, () => node.textContent, (css) => { node.textContent = css; });
	}
}

function dressText(css, get, set) {
	const now = dressed(css, location.href);
	if (now !== css) set(now);
	for (const address of addressesIn(now, location.href)) lacks(address, () => set(dressed(get(), location.href)));
}

const watched = new WeakSet();

// watch dresses what changes in a document.
function watch(doc) {
	if (!doc || watched.has(doc)) return;
	watched.add(doc);
	new MutationObserver((changes) => { for (const c of changes) dress(c.target); })
		.observe(doc, { subtree: true, attributes: true, attributeFilter: ["src", "srcset", "href", "style", "poster"] });
}

// # Lines

const moves = new Set([1, 2, 3, 5, 6]); // sources of events that somebody causes, of rrweb's

function take(line) {
	switch (line.kind) {
	case "tape": reach(line.at); break;
	case "page": pageOf(line.page); break;
	case "closed": { const p = pageOf(line.page); p.closed = true; p.name(); break; }
	case "dom": takeEvent(line.page, line.event); break;
	case "asset": addAsset(line); break;
	case "console": note("console", line, line.level === "error" ? "error" : line.level); break;
	case "network": note("network", line, line.error || line.status >= 400 ? "error" : ""); break;
	case "lost": if (!line.of) note("console", { at: line.at, text: "The replay is full: nothing more was recorded.", where: "" }, "warning"); break;
	}
}

function reach(time) {
	if (!(time > 0)) return;
	if (time < begin) {
		begin = time;
		if (!at) at = begin;
	}
	end = Math.max(end, time);
}

function takeEvent(number, event) {
	if (!event || !(event.timestamp > 0)) return;
	const page = pageOf(number);
	page.add(event);
	reach(event.timestamp);
	times.push(Math.max(event.timestamp, times.at(-1) ?? 0));
	const acts = event.type === 4 || event.type === 2 || event.type === 3 && moves.has(event.data?.source);
	if (event.type === 3 && event.data?.source === 2 && event.data.type === 2) clicks.push(event.timestamp);
	if (acts && switches.at(-1)?.page !== page) switches.push({ at: Math.max(event.timestamp, switches.at(-1)?.at ?? 0), page });
}

// after is the place of the first of some sorted times that is later.
function after(sorted, time) {
	let low = 0, high = sorted.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (sorted[middle] > time) high = middle;
		else low = middle + 1;
	}
	return low;
}

// # Console and network

const notes = { console: [], network: [] };

function note(kind, line, level) {
	reach(line.at);
	if (level === "error") faults.push(line.at);
	const list = notes[kind];
	if (list.length >= mostNotes) return;
	const item = document.createElement("li");
	item.className = level;
	const time = document.createElement("time"), text = document.createElement("span"), more = document.createElement("small");
	time.textContent = clock(line.at - begin);
	if (kind === "console") {
		text.textContent = line.text;
		more.textContent = String(line.where ?? "").split("/").at(-1).slice(0, 40);
		more.title = line.where ?? "";
	} else {
		const url = String(line.url);
		text.textContent = `${line.method} ${url.replace(/^https?:\/\//, "").slice(0, 200)}`;
		text.title = url;
		more.textContent = `${line.error || line.status || ""} ${size(line.bytes)} ${Math.round(line.ms)} ms`;
	}
	item.append(time, text, more);
	item.onclick = () => seek(line.at);
	$(kind).append(item);
	list.push({ at: line.at, item });
	item.classList.toggle("later", line.at > at);
	$(`${kind}count`).textContent = String(list.length) + (list.length === mostNotes ? "+" : "");
}

function size(n) { return n < 1024 ? `${n} B` : n < 1 << 20 ? `${(n / 1024).toFixed(1)} KB` : `${(n / (1 << 20)).toFixed(1)} MB`; }

function clock(ms) {
	const s = Math.max(0, Math.floor(ms / 1000)), h = Math.floor(s / 3600);
	return (h ? `${h}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}` : Math.floor(s / 60)) + ":" + String(s % 60).padStart(2, "0");
}

// # Playing

// active is the page that is to be shown at a time.
function active(time) {
	if ($("pages").value) return pages.get(Number($("pages").value));
	return switches.findLast((s) => s.at <= time && s.page.ready)?.page ?? switches.find((s) => s.page.ready)?.page;
}

// sync has what is shown be what was there at the time; anew also if it is the same page.
function sync(anew) {
	const page = active(at);
	if (!page?.ready) return;
	if (page === shown && !anew) return;
	if (shown && shown !== page) shown.hide();
	shown = page;
	page.show(at);
	overlay("");
}

function seek(time) {
	at = Math.min(Math.max(time, begin), end);
	live = !whole && at >= end;
	sync(true);
	told = 0;
}

function setPlaying(on) {
	if (on && whole && at >= end) at = begin;
	playing = on;
	if (!on) live = false;
	sync(true);
	told = 0;
}

let before = performance.now();
let told = 0; // when the page last said how things are

function tick(now) {
	requestAnimationFrame(tick);
	const passed = now - before;
	before = now;
	if (!end) return;
	if (playing) {
		at += passed * speed();
		const next = times[after(times, at)];
		if (live && end - at > 3000) { at = end; sync(true); }
		else if ($("skip").checked && next - at > idle) { at = next - 1000; sync(true); }
		if (at >= end) {
			at = end;
			if (whole) setPlaying(false);
			else live = true;
		}
		sync(false);
	}
	if (now - told > 100) { told = now; show(); }
}

// show says how things are.
function show() {
	$("seek").min = String(begin);
	$("seek").max = String(Math.max(end, begin + 1));
	$("seek").value = String(at);
	$("clock").textContent = clock(at - begin);
	$("length").textContent = clock(end - begin);
	$("play").textContent = playing ? "❚❚" : "▶";
	$("live").hidden = whole;
	$("live").setAttribute("aria-pressed", String(live && playing));
	$("address").textContent = $("address").title = shown?.address(at) ?? "";
	if (!shown) overlay(whole ? "The replay shows no page: none was opened." : "Waiting for a page to be opened…");
	const now = [at, begin, end, times.length, faults.length, notes.console.length, notes.network.length, $("marks").clientWidth].join();
	if (now === drawn) return;
	drawn = now;
	for (const list of Object.values(notes)) for (const { at: when, item } of list) item.classList.toggle("later", when > at);
	mark();
}

let drawn = ""; // what the marks and the lists were drawn for

// mark draws what happened when.
function mark() {
	const canvas = $("marks"), width = canvas.width = canvas.clientWidth - 16, g = canvas.getContext("2d");
	const x = (time) => (time - begin) / Math.max(end - begin, 1) * width;
	const busy = new Uint32Array(width + 1);
	for (const t of times) busy[Math.floor(x(t))]++;
	g.fillStyle = "#3d6fd1";
	busy.forEach((n, i) => { if (n) g.fillRect(i, 14 - Math.min(3 + n, 12), 1, 14); });
	g.fillStyle = "#e0a93b";
	for (const t of clicks) g.fillRect(x(t) - 1, 0, 2, 14);
	g.fillStyle = "#e0625c";
	for (const t of faults) g.fillRect(x(t) - 1, 0, 2, 5);
}

function overlay(text) {
	$("overlay").hidden = !text;
	$("overlaytext").textContent = text;
}

function state(name, text) {
	$("state").dataset.state = name;
	$("state").textContent = text;
}

$("play").onclick = () => setPlaying(!playing);
$("seek").oninput = () => seek(Number($("seek").value));
$("speed").onchange = () => { for (const p of pages.values()) p.replayer?.setConfig({ speed: speed() }); };
$("pages").onchange = () => sync(false);
$("live").onclick = () => { at = end; live = true; setPlaying(true); };
$("panelbutton").onclick = () => {
	$("panel").hidden = !$("panel").hidden;
	$("panelbutton").setAttribute("aria-expanded", String(!$("panel").hidden));
	shown?.fit();
};
for (const kind of ["console", "network"]) {
	$(`${kind}tab`).onclick = () => {
		for (const k of ["console", "network"]) {
			$(k).hidden = k !== kind;
			$(`${k}tab`).setAttribute("aria-selected", String(k === kind));
		}
	};
}
addEventListener("resize", () => shown?.fit());
addEventListener("keydown", (e) => {
	if (["INPUT", "SELECT", "BUTTON"].includes(e.target.nodeName) && e.key === " ") return;
	if (e.key === " ") { e.preventDefault(); setPlaying(!playing); }
	if (e.target.nodeName !== "INPUT" && e.key === "ArrowLeft") seek(at - 5000);
	if (e.target.nodeName !== "INPUT" && e.key === "ArrowRight") seek(at + 5000);
});

// # Reading

let received = 0; // bytes
let rest = []; // of a line that is not whole, in pieces

function split(bytes) {
	for (let from = 0; ;) {
		const to = bytes.indexOf(10, from);
		if (to < 0) {
			rest.push(bytes.slice(from));
			return;
		}
		const line = new Blob([...rest, bytes.subarray(from, to)]);
		rest = [];
		from = to + 1;
		queue = queue.then(async () => {
			try { take(JSON.parse(await line.text())); } catch (e) { console.warn("a line of the replay cannot be read", e); }
		});
	}
}

let queue = Promise.resolve(); // lines are taken in order

// read reads the replay to its end, and from where it broke off if it does.
async function read() {
	for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
		try {
			const answer = await fetch(new URL(`lines?from=${received}`, base), { cache: "no-store" });
			if (!answer.ok) {
				state("ended", "ended");
				return overlay(await answer.text());
			}
			const reader = answer.body.getReader();
			for (;;) {
				const { done, value } = await reader.read();
				if (done) break;
				pause = 500;
				received += value.length;
				split(value);
				state("live", "recording");
			}
			await queue;
			whole = true;
			state("connected", "complete");
			return;
		} catch {
			state("lost", "connection lost");
			await new Promise((done) => setTimeout(done, pause));
		}
	}
}

if (typeof rrwebReplay === "undefined") {
	state("lost", "no player");
	overlay("This bay was built without rrweb, which plays replays. On its host, install npm or python3-venv and run scripts/build.");
} else {
	read();
	requestAnimationFrame(tick);
}
