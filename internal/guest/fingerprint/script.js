print => {
	// Getters that are replaced look as the ones before: they refuse the same
	// objects, and say that they are native code.
	const { apply, defineProperty, getOwnPropertyDescriptor } = Reflect
	const looks = new WeakMap()
	const toString = Function.prototype.toString
	const says = { toString() { return looks.get(this) ?? apply(toString, this, arguments) } }.toString
	const like = (f, original) => {
		looks.set(f, apply(toString, original, []))
		defineProperty(f, 'name', { value: original.name, configurable: true })
		defineProperty(f, 'length', { value: original.length, configurable: true })
		return f
	}
	defineProperty(Function.prototype, 'toString', { value: like(says, toString), writable: true, configurable: true, enumerable: false })

	const get = (type, name, value) => {
		const proto = globalThis[type]?.prototype
		const d = proto && getOwnPropertyDescriptor(proto, name)
		if (!value || !d?.get) return
		const getter = getOwnPropertyDescriptor({ get [name]() { apply(d.get, this, []); return value } }, name).get
		defineProperty(proto, name, { ...d, get: like(getter, d.get) })
	}
	for (const type of ['Navigator', 'WorkerNavigator']) {
		get(type, 'deviceMemory', print.navigator.deviceMemory)
		get(type, 'hardwareConcurrency', print.navigator.hardwareConcurrency)
	}
	const { userAgent, platform } = print.navigator // in pages they are set
	for (const [name, value] of Object.entries({ userAgent, platform, appVersion: userAgent.replace('Mozilla/', '') })) {
		get('WorkerNavigator', name, value)
	}
	get('Navigator', 'maxTouchPoints', print.navigator.maxTouchPoints)
	const { width, height, availWidth, availHeight, colorDepth } = print.screen
	for (const [name, value] of Object.entries({ width, height, availWidth, availHeight, colorDepth, pixelDepth: colorDepth })) {
		get('Screen', name, value)
	}

	const { vendor, renderer } = print.videoCard
	for (const type of ['WebGLRenderingContext', 'WebGL2RenderingContext']) {
		const proto = globalThis[type]?.prototype
		if (!proto || !vendor || !renderer) continue
		const original = proto.getParameter
		const unmasked = { 37445: vendor, 37446: renderer } // WEBGL_debug_renderer_info
		const { getParameter } = { getParameter(name) { const v = apply(original, this, arguments); return v && (unmasked[name] ?? v) } }
		defineProperty(proto, 'getParameter', { value: like(getParameter, original), writable: true, configurable: true, enumerable: true })
	}
}
