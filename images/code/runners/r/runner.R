# Runs R for the guest: one interpreter, one piece of code after another.
#
# Descriptor 3 brings requests and descriptor 4 takes events, one JSON object a
# line; package code of the guest describes them. Output is no event: it is what
# the process and its children write to descriptors 1 and 2.
#
# Code is evaluated here, expression by expression, rather than by package
# evaluate, which would hold output back until an expression is done. What shows
# values richly (repr, irdisplay) is loaded when it is first needed.

local({
  limit <- as.integer(commandArgs(trailingOnly = TRUE)[1]) # bytes an event may have
  max_text <- 1048576L # longest text/plain of a result, in characters

  requests <- file("/proc/self/fd/3", "rb", blocking = TRUE, raw = TRUE)
  events <- file("/proc/self/fd/4", "wb", blocking = TRUE, raw = TRUE)

  silent <- TRUE # while nobody listens yet

  # An interrupt while an event is sent would leave half a line behind.
  send <- function(event) suspendInterrupts({
    text <- jsonlite::toJSON(event, auto_unbox = TRUE, null = "null", force = TRUE)
    if (silent) return(invisible())
    writeLines(text, events)
    flush(events)
  })

  plain <- function(text) {
    if (nchar(text) <= max_text) return(text)
    paste0(substr(text, 1L, max_text), "… [", nchar(text) - max_text, " more characters]")
  }

  base64 <- function(bytes) gsub("\n", "", jsonlite::base64_enc(bytes), fixed = TRUE)

  # send_result sends a bundle of MIME types, without what is too large to be sent.
  send_result <- function(bundle, main) {
    size <- 4096
    for (mime in names(bundle)) {
      if (is.raw(bundle[[mime]])) bundle[[mime]] <- base64(bundle[[mime]])
      if (is.character(bundle[[mime]])) bundle[[mime]] <- enc2utf8(paste(bundle[[mime]], collapse = "\n"))
      size <- size + 2 * sum(nchar(as.character(unlist(bundle[[mime]])), "bytes"))
      if (size <= limit) next
      bundle[[mime]] <- NULL
      if (is.null(bundle[["text/plain"]]))
        bundle[["text/plain"]] <- paste0("[", mime, " is too large to be returned: save it to a file instead]")
      break
    }
    if (length(bundle)) send(list(result = bundle, main = main))
  }

  # Plots go to files, one a page, and are sent when the run is over: until
  # then more may be drawn on the last page.
  plots <- NULL # where the pages of the run at hand are

  open_device <- function(...) {
    if (is.null(plots)) plots <<- tempfile("plots")
    dir.create(plots, showWarnings = FALSE)
    name <- paste0(length(list.files(plots)), "-%05d.png")
    grDevices::png(file.path(plots, name), width = 7, height = 7, units = "in", res = 96, type = "cairo")
  }

  send_plots <- function() {
    if (is.null(plots)) return(invisible())
    grDevices::graphics.off()
    for (page in list.files(plots, full.names = TRUE)) {
      bytes <- readBin(page, "raw", file.size(page))
      send_result(list("text/plain" = "plot", "image/png" = bytes), FALSE)
    }
    unlink(plots, recursive = TRUE)
    plots <<- NULL
  }

  # html_of is a table as HTML; NULL for what is no table.
  html_of <- function(value) {
    if (!(is.data.frame(value) || is.matrix(value))) return(NULL)
    tryCatch(repr::repr_html(value), error = function(e) NULL)
  }

  # show_value sends a value as the main result. What draws when it is printed,
  # as plots of lattice and ggplot2 do, has drawn and has no text.
  show_value <- function(value) {
    text <- paste(utils::capture.output(print_value(value)), collapse = "\n")
    bundle <- list()
    if (nzchar(text)) bundle[["text/plain"]] <- plain(text)
    bundle[["text/html"]] <- html_of(value)
    send_result(bundle, TRUE)
  }

  print_value <- function(value) if (isS4(value)) methods::show(value) else print(value)

  parsed <- function(code) {
    tryCatch(
      parse(text = code, keep.source = TRUE, encoding = "UTF-8"),
      error = function(e) stop(condition("parseError", conditionMessage(e)))
    )
  }

  condition <- function(class, message, ...)
    structure(class = c(class, "error", "condition"), list(message = message, call = NULL, ...))

  # run_all evaluates code as a script is run: visible values are printed, but
  # the last one is the main result.
  run_all <- function(code) {
    expressions <- parsed(code)
    for (i in seq_along(expressions)) {
      outcome <- withVisible(eval(expressions[[i]], globalenv()))
      if (!outcome$visible) next
      if (i < length(expressions)) print_value(outcome$value)
      else if (!is.null(outcome$value)) show_value(outcome$value)
    }
  }

  # is_own reports whether a call is the one in run_all that evaluates code.
  is_own <- function(call) is.call(call) && identical(call[[1]], quote(eval)) && identical(call[[2]], quote(expressions[[i]]))

  # calls_of is the stack of an error, without the frames of this file.
  calls_of <- function(calls) {
    own <- which(vapply(calls, function(call) identical(call[[1]], quote(withVisible)), NA))
    if (!length(own)) return(character())
    calls <- calls[-seq_len(min(length(calls), own[1] + 2L))]
    calls <- utils::head(calls, -2L)
    vapply(calls, function(call) paste0("  ", deparse(call, nlines = 1L)[1]), "")
  }

  failure_of <- function(error, calls) {
    call <- conditionCall(error)
    where <- if (is.null(call) || is_own(call)) "Error: " else paste0("Error in ", deparse(call, nlines = 1L)[1], ": ")
    trace <- paste(c(paste0(where, conditionMessage(error)), calls_of(calls)), collapse = "\n")
    list(name = class(error)[1], message = conditionMessage(error), traceback = trace)
  }

  # quit ends the run, as it would end a script, and not the interpreter.
  quit <- function(save = "default", status = 0, runLast = TRUE)
    stop(condition("quit", paste0("quit(status = ", status, ")"), status = status))

  # warn_plainly says a warning of code itself without naming this file's call.
  warn_plainly <- function(w) {
    if (getOption("warn") != 1 || !is_own(conditionCall(w))) return()
    message("Warning: ", conditionMessage(w))
    invokeRestart("muffleWarning")
  }

  # run runs one piece of code and returns its failure, or NULL.
  run <- function(code) {
    calls <- list()
    tryCatch(
      {
        withCallingHandlers(run_all(code), error = function(e) calls <<- sys.calls(), warning = warn_plainly)
        NULL
      },
      quit = function(e) if (e$status == 0) NULL else failure_of(e, list()),
      error = function(e) failure_of(e, calls),
      interrupt = function(e) list(name = "interrupt", message = "interrupted", traceback = "")
    )
  }

  prepare <- function() {
    shim <- attach(NULL, name = "agentbay", warn.conflicts = FALSE)
    assign("quit", quit, shim)
    assign("q", quit, shim)
    options(
      warn = 1, # a loop that never returns to the prompt would never show them
      device = open_device,
      bitmapType = "cairo",
      jupyter.base_display_func = function(data, metadata = NULL) send_result(data, FALSE),
      jupyter.rich_display = TRUE,
      menu.graphics = FALSE
    )
  }

  finish <- function(failure) {
    tryCatch(send_plots(), error = function(e) message("plot lost: ", conditionMessage(e)))
    flush(stdout())
    flush(stderr())
    if (!is.null(failure)) send(list(error = failure))
    send(list(end = TRUE))
  }

  # rehearse has R compile the functions above, which it does when they are used
  # for the second time.
  rehearse <- function() {
    for (i in 1:3) finish(run("1"))
    silent <<- FALSE
  }

  prepare()
  rehearse()
  send(list(ready = TRUE))
  repeat {
    request <- tryCatch(readLines(requests, 1L, encoding = "UTF-8"), interrupt = function(e) NULL)
    if (is.null(request)) next
    if (!length(request)) base::quit("no")
    code <- jsonlite::fromJSON(request)$code
    failure <- run(code)
    suspendInterrupts(finish(failure))
  }
})
