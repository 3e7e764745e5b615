// What functions of design documents find around them, and how they are called.
//
// Semantics are those of CouchDB 3.5's share/server/*.js. Evaluated once for each runtime; gives an
// object whose members the worker calls. `native` has what only the worker can do:
//   emit(key, value)        a row of the map function that runs
//   log(text)
//   design()                the design document, made anew
//   rowIsHere(), row()      rows that the list function was given; row() waits for more and is
//                           null after the last
//   listed(response, text)  hands over what the list function gave so far; response may be undefined
//   ask(question)           what a transaction function asks of its database
//   wrap(…helpers, source)  evaluates a source where the helpers are in scope
(function (native) {
  "use strict";

  const { isArray } = Array;
  const { parse, stringify } = JSON;

  // ---- Errors. A thrown [error, reason] pair ends in the reply.

  function fail(error, reason) {
    throw ["error", error, reason];
  }

  const MISSING = {};
  let missing;

  function textOf(error) {
    if (error === null || error === undefined) return String(error);
    if (typeof error.toSource === "function") return String(error.toSource());
    if (isError(error)) return String(error);
    if (typeof error === "object") return stringify(error);
    return String(error);
  }

  // By its looks, as errors of other realms are none of ours.
  function isError(value) {
    return typeof value === "object" && value !== null
      && "stack" in value && "name" in value && "message" in value;
  }

  function plain(value) {
    return isError(value) ? { error: value.name, message: value.message } : value;
  }

  function reasonOf(reason) {
    return typeof reason === "string" ? reason : String(stringify(reason));
  }

  // Of anything thrown: what CouchDB's handleError makes of it.
  function describe(thrown) {
    if (thrown === MISSING) return ["missing", missing[0], missing[1]];
    if (thrown === null || thrown === undefined) return ["unnamed_error", String(thrown)];
    if (thrown[0] === "error" || thrown[0] === "fatal") {
      return [String(thrown[1]), reasonOf(thrown[2])];
    }
    if (thrown.error && thrown.reason) return [String(thrown.error), reasonOf(thrown.reason)];
    if (isError(thrown)) return [String(thrown.name), String(thrown.message)];
    if (thrown.name) return [String(thrown.name), reasonOf(thrown)];
    return ["unnamed_error", textOf(thrown)];
  }

  // What a map or reduce function threw is logged, unless it wants the call to fail.
  function lesserText(thrown) {
    if (thrown === "fatal_error") fail("map_runtime_error", "function raised 'fatal_error'");
    if (thrown !== null && thrown !== undefined && thrown[0] === "fatal") throw thrown;
    return "function raised exception " + textOf(thrown);
  }

  // The host says so of the whole call; the engine throws null where there is no room for an error.
  function isOutOfMemory(thrown) {
    return thrown === null
      || thrown !== undefined && thrown.name === "InternalError" && thrown.message === "out of memory";
  }

  function renderError(thrown, name) {
    if (isOutOfMemory(thrown)) throw thrown;
    if (thrown !== undefined
      && (thrown.error && thrown.reason || thrown[0] === "error" || thrown[0] === "fatal")) {
      throw thrown;
    }
    const stack = thrown === undefined ? undefined : thrown.stack;
    fail(name, "function raised error: " + textOf(thrown) + " \nstacktrace: " + stack);
  }

  // ---- Helpers.

  function sum(values) {
    let total = 0;
    for (const index in values) total += values[index];
    return total;
  }

  function log(message) {
    native.log(typeof message === "string" ? message : String(stringify(plain(message))));
  }

  // ---- Modules.

  function resolve(names, module, root) {
    if (names.length === 0) {
      if (typeof module.current !== "string") {
        fail("invalid_require_path",
          "Must require a JavaScript string, not: " + typeof module.current);
      }
      return { current: module.current, parent: module.parent, id: module.id, exports: {} };
    }
    const name = names.shift();
    if (name === "..") {
      if (!(module.parent && module.parent.parent)) {
        fail("invalid_require_path", "Object has no parent " + stringify(module.current));
      }
      return resolve(names, {
        id: module.id.slice(0, module.id.lastIndexOf("/")),
        parent: module.parent.parent,
        current: module.parent.current,
      });
    }
    if (name === ".") {
      if (!module.parent) {
        fail("invalid_require_path", "Object has no parent " + stringify(module.current));
      }
      return resolve(names, { parent: module.parent, current: module.current, id: module.id });
    }
    if (root) module = { current: root };
    if (module.current[name] === undefined) {
      fail("invalid_require_path",
        'Object has no property "' + name + '". ' + stringify(module.current));
    }
    return resolve(names, {
      current: module.current[name],
      parent: module,
      id: module.id ? module.id + "/" + name : name,
    });
  }

  // `root` gives the object in which names are looked up.
  function requirer(root, helpers) {
    const exportsOf = new Map();
    function require(name, module) {
      const found = resolve(String(name).split("/"), module.parent || {}, root());
      if (!exportsOf.has(found.id)) {
        exportsOf.set(found.id, {}); // ends circles
        try {
          const source = "(function (module, exports, require) { " + found.current + "\n })";
          const body = evaluateOne(helpers, source);
          body.call(helpers, found, found.exports, (name) => require(name, found));
        } catch (error) {
          fail("compilation_error",
            "Module require('" + name + "') raised error " + textOf(error));
        }
        exportsOf.set(found.id, found.exports);
      }
      return exportsOf.get(found.id);
    }
    return (name) => require(name, {});
  }

  // ---- Sources to functions.

  function helpersFor(kind) {
    const helpers = {
      emit: kind === "filter" ? () => { emitted = true; } : native.emit,
      sum, log, isArray,
      toJSON: stringify,
      provides, registerType, start, send, getRow,
      require: undefined,
    };
    if (kind === "map") {
      helpers.require = requirer(() => ({ views: { lib: (design().views || {}).lib } }), helpers);
    } else if (kind !== "reduce") {
      helpers.require = requirer(design, helpers);
    }
    return helpers;
  }

  function evaluateOne(helpers, source) {
    const { emit, sum, log, toJSON, isArray, require, provides, registerType, start, send, getRow }
      = helpers;
    return native.wrap(emit, sum, log, toJSON, isArray, require, provides, registerType, start,
      send, getRow, source);
  }

  // An expression; statements that end in one; statements before a function without a name.
  function* forms(source) {
    let end = source.length;
    while (end > 0 && "; \t\r\n".includes(source[end - 1])) end -= 1;
    const trimmed = source.slice(0, end);
    yield "(" + trimmed + "\n)";
    yield source;
    let tries = 0;
    let at = trimmed.indexOf("function", 1);
    while (at >= 0 && tries < 100) {
      yield trimmed.slice(0, at) + "(" + trimmed.slice(at) + "\n)";
      at = trimmed.indexOf("function", at + 1);
      tries += 1;
    }
  }

  function compile(kind, source) {
    if (typeof source !== "string") fail("not_found", "missing function");
    const helpers = cachedHelpers(kind);
    let first;
    for (const form of forms(source)) {
      let value;
      try {
        value = evaluateOne(helpers, form);
      } catch (error) {
        if (first === undefined) first = error;
        if (error instanceof SyntaxError) continue;
        break;
      }
      if (typeof value === "function") return value;
    }
    if (first === undefined || first instanceof SyntaxError && isExpression(helpers, source)) {
      fail("compilation_error", "Expression does not eval to a function. (" + source + ")");
    }
    fail("compilation_error", textOf(first) + " (" + source + ")");
  }

  function isExpression(helpers, source) {
    try {
      evaluateOne(helpers, source);
      return true;
    } catch (error) {
      return false;
    }
  }

  let designDocument;
  function design() {
    if (designDocument === undefined) designDocument = native.design();
    return designDocument;
  }

  const helpersByKind = new Map();
  function cachedHelpers(kind) {
    let helpers = helpersByKind.get(kind);
    if (helpers === undefined) {
      helpers = helpersFor(kind);
      helpersByKind.set(kind, helpers);
    }
    return helpers;
  }

  const functions = new Map();
  function compiled(kind, source) {
    const name = kind + "\n" + source;
    let found = functions.get(name);
    if (found === undefined) {
      found = compile(kind, source);
      if (functions.size >= native.functionsMax) functions.clear();
      functions.set(name, found);
    }
    return found;
  }

  function own(object, name) {
    return typeof object === "object" && object !== null && Object.hasOwn(object, name)
      ? object[name]
      : undefined;
  }

  // The function at a path of the design document.
  function member(kind, ...path) {
    let point = design();
    for (const name of path) point = own(point, name);
    if (point === undefined || point === null || point === "") {
      missing = [path[0], path[path.length - 1]];
      throw MISSING;
    }
    return compiled(kind, String(point));
  }

  // ---- Shows and lists: which type to answer with.

  let mimesByKey, keysByMime, providesUsed, provided, responseType;

  function registerType(key, ...mimes) {
    mimesByKey[key] = mimes;
    for (const mime of mimes) keysByMime[mime] = key;
  }

  function resetTypes() {
    mimesByKey = Object.create(null);
    keysByMime = Object.create(null);
    providesUsed = false;
    provided = [];
    responseType = null;
    registerType("all", "*/*");
    registerType("text", "text/plain; charset=utf-8", "txt");
    registerType("html", "text/html; charset=utf-8");
    registerType("xhtml", "application/xhtml+xml", "xhtml");
    registerType("xml", "application/xml", "text/xml", "application/x-xml");
    registerType("js", "text/javascript", "application/javascript", "application/x-javascript");
    registerType("css", "text/css");
    registerType("ics", "text/calendar");
    registerType("csv", "text/csv");
    registerType("rss", "application/rss+xml");
    registerType("atom", "application/atom+xml");
    registerType("yaml", "application/x-yaml", "text/yaml");
    registerType("multipart_form", "multipart/form-data");
    registerType("url_encoded_form", "application/x-www-form-urlencoded");
    registerType("json", "application/json", "text/x-json");
  }

  function provides(type, provider) {
    providesUsed = true;
    provided.push([type, provider]);
  }

  function runProvides(request) {
    const accept = request.headers.Accept;
    let key = null;
    if (request.query && request.query.format) {
      key = request.query.format;
      responseType = (mimesByKey[key] || [])[0];
    } else if (accept) {
      let supported = [];
      provided.reverse();
      for (const [type] of provided) supported = supported.concat(mimesByKey[type] || []);
      responseType = bestMatch(supported, accept);
      key = keysByMime[responseType];
    } else {
      key = provided[0][0];
      responseType = (mimesByKey[key] || [])[0];
    }
    const best = key && provided.find(([type]) => type === key);
    if (best) return best[1].call(design());
    const types = provided.map(([type]) => (mimesByKey[type] || []).join(", ") || type);
    fail("not_acceptable", "Content-Type " + (accept || key) + " not supported, try one of: "
      + types.join(", "));
  }

  function mediaRange(text) {
    const [type, ...parts] = text.split(";");
    const parameters = Object.create(null);
    for (const part of parts) {
      const [name, value, more] = part.split("=");
      if (value !== undefined && more === undefined) parameters[name.trim()] = value.trim();
    }
    const full = type.trim() === "*" ? "*/*" : type.trim();
    const [main, sub] = full.split("/");
    const quality = parseFloat(parameters.q);
    if (!(quality >= 0 && quality <= 1)) parameters.q = "1";
    return { main, sub, parameters };
  }

  // Among equally good ones the last; the fittest before the most wanted.
  function bestMatch(supported, accept) {
    const ranges = accept.split(",").map(mediaRange);
    let best = { fitness: -1, quality: 0, type: "" };
    for (const type of supported) {
      const target = mediaRange(type);
      let fitness = -1;
      let quality = 0;
      for (const range of ranges) {
        const main = range.main === target.main;
        const sub = range.sub === target.sub;
        if ((main || range.main === "*" || target.main === "*")
          && (sub || range.sub === "*" || target.sub === "*")) {
          let points = (main ? 100 : 0) + (sub ? 10 : 0);
          for (const name in target.parameters) {
            if (name !== "q" && range.parameters[name] === target.parameters[name]) points += 1;
          }
          if (points > fitness) {
            fitness = points;
            quality = parseFloat(range.parameters.q);
          }
        }
      }
      if (fitness > best.fitness || fitness === best.fitness && quality >= best.quality) {
        best = { fitness, quality, type };
      }
    }
    return best.quality ? best.type : "";
  }

  // ---- Shows and lists: what is sent.

  let chunks, startResponse, newStart, gotRow, lastRow, listing;

  function resetOutput() {
    chunks = [];
    startResponse = {};
    newStart = false;
    gotRow = false;
    lastRow = false;
  }

  function start(response) {
    startResponse = response || {};
    newStart = true;
  }

  function send(chunk) {
    chunks.push(chunk.toString());
  }

  function withType(response) {
    response.headers = response.headers || {};
    if (responseType) {
      response.headers["Content-Type"] = response.headers["Content-Type"] || responseType;
    }
    return response;
  }

  // Hands over what there is, and the response if it was set since.
  function flush() {
    const response = newStart ? startResponse : undefined;
    const text = chunks.join("");
    chunks = [];
    newStart = false;
    native.listed(response, text);
  }

  function getRow() {
    if (lastRow || !listing) return null;
    if (!gotRow) {
      gotRow = true;
      startResponse = withType(startResponse);
      newStart = true;
      flush();
      startResponse = {};
    } else if (!native.rowIsHere()) {
      flush();
    }
    const row = native.row();
    if (row === null) lastRow = true;
    return row;
  }

  function wrapped(response) {
    return typeof response === "string" ? { body: response } : response;
  }

  function isResponse(response) {
    return typeof response === "string"
      || typeof response === "object" && response !== null && !isArray(response);
  }

  function show(name, doc, request) {
    const shower = member("other", "shows", name);
    try {
      resetOutput();
      resetTypes();
      let response = wrapped(shower.call(design(), doc, request) || {});
      if (chunks.length > 0) {
        response.headers = response.headers || {};
        for (const header in startResponse) response.headers[header] = startResponse[header];
        response.body = chunks.join("") + (response.body || "");
        resetOutput();
      }
      if (providesUsed) {
        const more = wrapped(runProvides(request) || {});
        response.body = (response.body || "") + chunks.join("");
        response.body += more.body || "";
        response = withType(response);
        resetOutput();
      }
      if (!isResponse(response)) {
        fail("render_error", "undefined response from show function");
      }
      return wrapped(response);
    } catch (error) {
      if (doc === null && request.path && request.path.length > 5) {
        fail("not_found", "document not found");
      }
      renderError(error, "render_error");
    }
  }

  function update(name, doc, request) {
    const updater = member("other", "updates", name);
    try {
      if (request.method === "GET") {
        fail("method_not_allowed", "Update functions do not allow GET");
      }
      const result = updater.call(design(), doc, request);
      if (!isResponse(result[1])) {
        fail("render_error", "undefined response from update function");
      }
      return [result[0], wrapped(result[1])];
    } catch (error) {
      renderError(error, "render_error");
    }
  }

  function list(name, head, request) {
    const lister = member("other", "lists", name);
    try {
      resetTypes();
      resetOutput();
      listing = true;
      let tail = lister.call(design(), head, request);
      if (providesUsed) tail = runProvides(request);
      if (!gotRow) getRow();
      if (tail !== undefined) chunks.push(String(tail));
      const response = newStart ? startResponse : undefined;
      return [response, chunks.join("")];
    } catch (error) {
      renderError(error, "render_error");
    } finally {
      listing = false;
      resetOutput();
    }
  }

  function rewrite(request) {
    const rewriter = member("other", "rewrites");
    let result;
    try {
      result = rewriter.call(design(), request);
    } catch (error) {
      renderError(error, "rewrite_error");
    }
    if (!result) return undefined;
    return typeof result === "string" ? { path: result, method: request.method } : result;
  }

  // ---- The rest.

  let emitted = false;

  function mapFilter(view, doc) {
    const map = member("filter", "views", view, "map");
    emitted = false;
    map.call(undefined, doc);
    return emitted;
  }

  function filter(name, doc, request) {
    return Boolean(member("other", "filters", name).call(design(), doc, request));
  }

  // Gives nothing where the edit is right, else [error, reason].
  function validate(doc, old, userContext, security) {
    const validator = member("other", "validate_doc_update");
    try {
      validator.call(design(), doc, old, userContext, security);
    } catch (error) {
      if (error === null || error === undefined) return ["unknown_error", String(error)];
      if (error.name && error.stack) throw error;
      if (typeof error === "object") {
        if (error.forbidden !== undefined) return ["forbidden", reasonOf(error.forbidden)];
        if (error.unauthorized !== undefined) {
          return ["unauthorized", reasonOf(error.unauthorized)];
        }
        const values = Object.values(error);
        if (values.length === 1 && !isArray(error)) return ["unknown_error", reasonOf(values[0])];
      }
      if (typeof error === "string") return ["unknown_error", error];
      return describe(error);
    }
    return undefined;
  }

  function reduce(reducer, keys, values, again) {
    try {
      const result = reducer(keys, values, again);
      return result === undefined ? null : result;
    } catch (error) {
      log(lesserText(error));
      return null;
    }
  }

  function apply(path, values) {
    return member("other", ...path).apply(design(), values);
  }

  // ---- Transactions.

  const REFUSED = {};

  // In the order of document ids, which is that of their characters' numbers.
  function isBefore(a, b) {
    const left = Array.from(a);
    const right = Array.from(b);
    for (let at = 0; at < left.length && at < right.length; at += 1) {
      if (left[at] !== right[at]) return left[at].codePointAt(0) < right[at].codePointAt(0);
    }
    return left.length < right.length;
  }

  function idOf(id) {
    if (typeof id !== "string" || id === "") throw new TypeError("a document's id is a string");
    return id;
  }

  // A database as a transaction function sees it: as it was at one moment, with what the function wrote.
  function transaction(name, parameters, userContext) {
    const called = member("other", "transactions", name);
    const written = new Map(); // id -> JSON, or null where it is deleted
    const unborn = new Set(); // of these, what was not there before
    let refusal;

    function get(id) {
      idOf(id);
      if (!written.has(id)) return native.ask({ get: id });
      const text = written.get(id);
      return text === null ? null : parse(text);
    }

    function all(options) {
      if (isArray(options)) options = { keys: options };
      const { keys, prefix, limit } = options || {};
      if (keys !== undefined) {
        if (!isArray(keys)) throw new TypeError("keys are an array of ids");
        const others = keys.filter((id) => !written.has(idOf(id)));
        const found = new Map();
        if (others.length > 0) {
          native.ask({ keys: others }).forEach((doc, at) => found.set(others[at], doc));
        }
        return keys.map((id) => (written.has(id) ? get(id) : found.get(id)));
      }
      if (typeof prefix !== "string") throw new TypeError("all documents are asked for by keys or prefix");
      if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) {
        throw new TypeError("limit is a number of documents");
      }
      const own = Array.from(written.keys()).filter((id) => id.startsWith(prefix));
      // Those that were written over may be among them.
      const asked = limit === undefined ? undefined : limit + own.length;
      const docs = native.ask({ prefix, limit: asked }).filter((doc) => !written.has(doc._id));
      for (const id of own) {
        const doc = get(id);
        if (doc !== null) docs.push(doc);
      }
      if (own.length > 0) docs.sort((a, b) => (isBefore(a._id, b._id) ? -1 : 1));
      return limit === undefined ? docs : docs.slice(0, limit);
    }

    function view(path, options) {
      const [ddoc, viewName, more] = String(path).split("/");
      if (!ddoc || !viewName || more !== undefined) {
        throw new TypeError("a view is named by its design document and its name: design/view");
      }
      return native.ask({ view: [ddoc, viewName], options: options || {} });
    }

    function find(query) {
      if (typeof query !== "object" || query === null || isArray(query)) {
        throw new TypeError("a query is an object with a selector");
      }
      return native.ask({ find: query });
    }

    function put(doc) {
      if (typeof doc !== "object" || doc === null || isArray(doc)) {
        throw new TypeError("a document is an object");
      }
      idOf(doc._id);
      written.set(doc._id, stringify(doc));
    }

    // Whether it was there.
    function remove(id) {
      if (get(id) === null) return false;
      if (written.has(id) && (unborn.has(id) || native.ask({ get: id }) === null)) {
        unborn.add(id);
        written.delete(id);
      } else {
        written.set(id, null);
      }
      return true;
    }

    function refuse(reason, detail) {
      refusal = { reason: String(reason), detail: detail === undefined ? null : detail };
      throw REFUSED;
    }

    const db = Object.freeze({ get, all, view, find, put, delete: remove, refuse });
    let result;
    try {
      result = called.call(design(), db, parameters, userContext);
    } catch (error) {
      if (refusal === undefined) throw error;
    }
    // Also where the function has caught it.
    if (refusal !== undefined) return { refused: refusal };
    const writes = Array.from(written, ([id, text]) =>
      (text === null ? { id, delete: true } : { id, put: parse(text) }));
    return { writes, result: result === undefined ? null : result };
  }

  resetTypes();
  resetOutput();

  return {
    compiled, describe, lesserText, reduce, filter, mapFilter, validate, update, show, list,
    rewrite, apply, transaction,
  };
})
