// The page of a session: who is in control, and the screen by way of a transport.
const $ = (id) => document.getElementById(id);
const base = new URL("../", import.meta.url);

// The page's name, which only it knows. A page that is loaded anew keeps it, and
// with it control.
const viewer = sessionStorage.getItem("viewer") || crypto.getRandomValues(new Uint8Array(24)).reduce((s, b) => s + b.toString(16).padStart(2, "0"), "");
sessionStorage.setItem("viewer", viewer);

function socketURL(part) {
	const url = new URL(part, base);
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	url.searchParams.set("viewer", viewer);
	return url.href;
}

let Transport = null; // the kind of transport, once it is loaded
let transport = null; // while the screen is connected, or about to be
let told = null; // what the server said last
let over = ""; // why there is nothing more to see
let fit = true;
let wanted = false; // this page has control, and takes it again after a drop

function state(name, text) {
	$("state").dataset.state = name;
	$("state").textContent = text;
}

function overlay(text) {
	$("overlay").hidden = !text;
	$("overlaytext").textContent = text;
}

// Connections are made again after a pause that grows, and at once when the
// network is back or the page is looked at.
class Retry {
	constructor(attempt) { this.attempt = attempt; this.pause = 500; this.timer = 0; }
	later() {
		clearTimeout(this.timer);
		if (over) return;
		this.timer = setTimeout(() => this.now(), this.pause);
		this.pause = Math.min(this.pause * 2, 10000);
	}
	now() { clearTimeout(this.timer); this.timer = 0; if (!over) this.attempt(); }
	soon() { if (this.timer) { this.pause = 500; this.now(); } }
	done() { this.pause = 500; }
}

const screenRetry = new Retry(connectScreen);
const controlRetry = new Retry(connectControl);
addEventListener("online", () => { screenRetry.soon(); controlRetry.soon(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) { screenRetry.soon(); controlRetry.soon(); } });

function connectScreen() {
	if (transport || !Transport) return;
	state("connecting", "connecting…");
	const t = transport = new Transport($("screen"), socketURL("screen"));
	t.fit = fit;
	t.acts = mayAct();
	t.addEventListener("connected", () => {
		screenRetry.done();
		state("connected", "connected");
		overlay("");
		t.focus();
	});
	t.addEventListener("clipboard", (e) => {
		$("cliptext").value = e.detail.text;
		if (document.hasFocus() && navigator.clipboard) navigator.clipboard.writeText(e.detail.text).catch(() => {});
	});
	t.addEventListener("lost", () => {
		if (transport === t) transport = null;
		if (over) return;
		state("lost", "connection lost");
		overlay("The connection is lost.\nTrying again…");
		screenRetry.later();
	});
}

let controlSocket = null;

function connectControl() {
	const socket = controlSocket = new WebSocket(socketURL("control"));
	socket.onmessage = (e) => {
		const first = !told || told.stale;
		told = JSON.parse(e.data);
		controlRetry.done();
		if (first && wanted && told.control === "nobody") send({ do: "take" });
		show();
		if (told.screen && !told.over && !transport && !screenRetry.timer) connectScreen();
	};
	socket.onclose = () => {
		if (over) return;
		if (told) told.stale = true;
		else probe();
		controlRetry.later();
	};
}

// A page that was never let in asks why, which a WebSocket does not tell.
async function probe() {
	try {
		const answer = await fetch(base, { cache: "no-store" });
		if (!answer.ok) finish(await answer.text());
	} catch { /* the server is not there; it is tried again */ }
}

function send(what) {
	if (controlSocket && controlSocket.readyState === WebSocket.OPEN) controlSocket.send(JSON.stringify(what));
}

function mayAct() { return Boolean(told && told.may_act && told.control !== "somebody"); }

function finish(why) {
	over = why;
	state("ended", "ended");
	overlay(why);
	if (transport) transport.close();
	if (controlSocket) controlSocket.close();
	$("control").hidden = true;
	$("help").hidden = true;
}

// show makes the page say what was told.
function show() {
	if (told.over) return finish(told.over);
	$("session").textContent = told.session.replace(/^session-/, "").slice(0, 8);
	$("session").title = told.session;
	$("viewers").textContent = told.viewers > 1 ? `${told.viewers} viewers` : "";
	$("filmed").hidden = !told.filmed;
	const since = told.since ? ` since ${new Date(told.since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
	const who = { nobody: told.may_act ? "" : "watching", you: "you are in control" + since, somebody: "somebody else is in control" + since };
	$("who").textContent = who[told.control] + (told.control === "somebody" && !told.may_act ? " · watching" : "");
	$("who").className = told.control;
	if (told.control === "you") wanted = true;
	$("control").hidden = !told.may_act || !told.screen;
	$("control").textContent = told.control === "you" ? "Hand back" : "Take control";
	$("control").disabled = told.control === "somebody";
	$("control").classList.toggle("held", told.control === "you");
	for (const id of ["keys", "keyboard", "clip"]) $(id).hidden = !told.may_act || !told.screen;
	const asked = told.help.filter((h) => h.state === "open");
	$("help").hidden = asked.length === 0;
	$("message").textContent = asked.map((h) => h.message).join("\n");
	$("helptake").hidden = !told.may_act || told.control !== "nobody";
	if (!told.screen) overlay("Sessions of this image have no screen.");
	if (told.error) { $("who").textContent = told.error; $("who").className = "somebody"; }
	if (transport) transport.acts = mayAct();
}

function toggle(button, panel) {
	const open = panel.hidden;
	for (const [b, p] of [["keys", "keymenu"], ["clip", "clippanel"]]) { $(p).hidden = true; $(b).setAttribute("aria-expanded", "false"); }
	panel.hidden = !open;
	button.setAttribute("aria-expanded", String(open));
}

$("control").onclick = () => {
	if (told.control !== "you") return send({ do: "take" });
	$("note").value = "";
	$("handback").showModal();
};
$("helptake").onclick = () => send({ do: "take" });
$("keep").onclick = () => $("handback").close();
$("handbackok").onclick = () => {
	$("handback").close();
	wanted = false;
	send({ do: "hand back", note: $("note").value });
	if (transport) transport.focus();
};
$("keys").onclick = () => toggle($("keys"), $("keymenu"));
$("clip").onclick = () => toggle($("clip"), $("clippanel"));
$("keymenu").onclick = (e) => { if (e.target.dataset.keys && transport) { transport.press(e.target.dataset.keys.split(" ")); transport.focus(); } };
$("clipsend").onclick = () => { if (transport) transport.putClipboard($("cliptext").value); };
$("clipcopy").onclick = () => navigator.clipboard?.writeText($("cliptext").value).catch(() => $("cliptext").select());
$("fit").onclick = () => {
	fit = !fit;
	$("fit").setAttribute("aria-pressed", String(fit));
	$("screen").classList.toggle("whole", !fit);
	if (transport) transport.fit = fit;
};
$("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {});
$("hide").onclick = () => { $("bar").hidden = true; $("bar").style.display = "none"; $("show").hidden = false; };
$("show").onclick = () => { $("bar").hidden = false; $("bar").style.display = ""; $("show").hidden = true; };

// What is copied here goes to the session when the screen is used again.
let pasted = null;
async function bringClipboard() {
	if (!transport || !mayAct() || !navigator.clipboard?.readText) return;
	try {
		const text = await navigator.clipboard.readText();
		if (text && text !== pasted && text !== $("cliptext").value) { pasted = text; transport.putClipboard(text); }
	} catch { /* the browser does not let pages read it */ }
}
addEventListener("focus", bringClipboard);

// On a phone, a hidden text area brings the keyboard up; what is written there is typed.
$("keyboard").onclick = () => { $("typing").value = "\u00a0"; $("typing").focus(); };
$("typing").oninput = (e) => {
	if (!transport) return;
	if (e.inputType === "deleteContentBackward") transport.press(["BackSpace"]);
	else if (e.inputType === "insertLineBreak") transport.press(["Return"]);
	else if (!e.isComposing) transport.type($("typing").value.replace("\u00a0", ""));
	if (!e.isComposing) $("typing").value = "\u00a0";
};
$("typing").oncompositionend = (e) => { if (transport) transport.type(e.data); $("typing").value = "\u00a0"; };

// The transport is many files. If one does not come, the page is loaded anew.
async function load() {
	try {
		({ Transport } = await import("./transport-vnc.js"));
	} catch {
		state("lost", "not loaded");
		overlay("The page was not loaded whole.\nTrying again…");
		setTimeout(() => location.reload(), 2000);
		return;
	}
	connectControl();
}

load();
