import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.Collectors;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.ExpressionSnippet;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.UnresolvedReferenceException;
import jdk.jshell.execution.LocalExecutionControlProvider;

/**
 * Runs Java for the guest: one JShell, one piece of code after another.
 *
 * <p>Descriptor 3 brings requests and descriptor 4 takes events, one JSON object a line; package
 * code of the guest describes them. Output is no event: it is what the process and its children
 * write to descriptors 1 and 2.
 *
 * <p>Snippets run in this very virtual machine, which makes them quick to start and lets a snippet
 * that calls System.exit end it.
 */
public final class Runner {
  private static final int MAX_TEXT = 1 << 20; // longest text/plain of a result, in characters

  private static final String LAST = new String("the request after which there is none");

  private static final List<String> IMPORTS =
      List.of(
          "java.io", "java.math", "java.net", "java.nio.file", "java.util", "java.util.concurrent",
          "java.util.function", "java.util.prefs", "java.util.regex", "java.util.stream");

  /** What went wrong in a run. */
  private record Failure(String name, String message, String traceback) {}

  private final OutputStream events;
  private final JShell shell;
  private final BlockingQueue<String> requests = new LinkedBlockingQueue<>();
  private volatile boolean running;
  private volatile boolean stopped; // the run at hand has been asked to end

  private Runner(OutputStream events) {
    this.events = events;
    this.shell =
        JShell.builder()
            .executionEngine(new LocalExecutionControlProvider(), null)
            .in(InputStream.nullInputStream())
            .out(System.out)
            .err(System.err)
            .build();
  }

  public static void main(String[] args) throws Exception {
    Runner runner = new Runner(new FileOutputStream("/proc/self/fd/4"));
    Thread reader = new Thread(() -> runner.receive("/proc/self/fd/3"), "requests");
    reader.setDaemon(true);
    reader.start();
    runner.warm();
    runner.send("{\"ready\":true}");
    runner.serve(args.length > 0);
  }

  /** Loads what the first run needs, and gives code the imports that jshell has. */
  private void warm() {
    IMPORTS.forEach(name -> shell.eval("import " + name + ".*;"));
    shell.sourceCodeAnalysis().analyzeCompletion("int x = 1;");
    shell.eval("1").forEach(event -> shell.drop(event.snippet()));
  }

  /** Queues requests, and stops the run at hand when one is an interrupt. */
  private void receive(String path) {
    try (BufferedReader in =
        new BufferedReader(new InputStreamReader(new FileInputStream(path), StandardCharsets.UTF_8))) {
      for (String line; (line = in.readLine()) != null; ) {
        if (!line.startsWith("{\"interrupt\"")) {
          requests.add(line);
        } else if (running) {
          new Thread(this::stop, "stop").start();
        }
      }
    } catch (IOException e) {
      System.err.println("requests lost: " + e);
    }
    requests.add(LAST); // the guest is gone
  }

  /** Stops the run at hand. A snippet that is still being compiled cannot be stopped until it runs. */
  private void stop() {
    stopped = true;
    try {
      while (running && stopped) {
        shell.stop();
        Thread.sleep(20);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Carries out requests. At the end of all it does not wait for the threads that code has left,
   * unless it is only being trained.
   */
  private void serve(boolean training) throws Exception {
    for (String request; (request = requests.take()) != LAST; ) {
      String code = codeOf(request);
      stopped = false;
      running = true;
      Failure failure = run(code);
      running = false;
      System.out.flush();
      System.err.flush();
      if (failure != null) {
        send(failure);
      }
      send("{\"end\":true}");
    }
    if (training) {
      System.exit(0);
    }
    Runtime.getRuntime().halt(0);
  }

  /** Runs one piece of code, snippet by snippet, and returns what went wrong, or null. */
  private Failure run(String code) throws IOException {
    SourceCodeAnalysis analysis = shell.sourceCodeAnalysis();
    for (String rest = code; !rest.isBlank(); ) {
      if (stopped) {
        return new Failure("Interrupted", "interrupted", "");
      }
      CompletionInfo info = analysis.analyzeCompletion(rest);
      if (info.completeness() == SourceCodeAnalysis.Completeness.EMPTY) {
        return null;
      }
      String source = info.source() == null ? rest : info.source();
      rest = info.source() == null ? "" : info.remaining();
      Failure failure = eval(source, rest.isBlank() && !code.stripTrailing().endsWith(";"));
      if (failure != null) {
        return failure;
      }
    }
    return null;
  }

  /** Evaluates one snippet. Its value is sent if it is the last and no mere statement. */
  private Failure eval(String source, boolean last) throws IOException {
    for (SnippetEvent event : shell.eval(source)) {
      if (event.causeSnippet() != null) {
        continue; // an earlier snippet that this one has changed
      }
      if (event.exception() != null) {
        return failureOf(event.exception());
      }
      if (event.status() == Snippet.Status.REJECTED) {
        return rejected(event.snippet());
      }
      if (last) {
        sendValue(event);
      }
    }
    return stopped ? new Failure("Interrupted", "interrupted", "") : null;
  }

  private void sendValue(SnippetEvent event) throws IOException {
    boolean expression = event.snippet() instanceof ExpressionSnippet
        || event.snippet().subKind() == Snippet.SubKind.TEMP_VAR_EXPRESSION_SUBKIND;
    String value = event.value();
    if (!expression || value == null || value.isEmpty()) {
      return;
    }
    if (value.length() > MAX_TEXT) {
      value = value.substring(0, MAX_TEXT) + "… [" + (value.length() - MAX_TEXT) + " more characters]";
    }
    System.out.flush();
    send("{\"result\":{\"text/plain\":" + quote(value) + "},\"main\":true}");
  }

  /** Describes why a snippet did not compile. */
  private Failure rejected(Snippet snippet) {
    String message =
        shell.diagnostics(snippet)
            .filter(Diag::isError)
            .map(diag -> diag.getMessage(Locale.ROOT))
            .collect(Collectors.joining("\n"));
    return new Failure("CompilationError", message, message + "\n  in: " + snippet.source().strip());
  }

  private Failure failureOf(JShellException exception) {
    if (stopped) {
      return new Failure("Interrupted", "interrupted", "");
    }
    if (exception instanceof UnresolvedReferenceException unresolved) {
      String missing = shell.unresolvedDependencies(unresolved.getSnippet()).collect(Collectors.joining(", "));
      String message = unresolved.getSnippet().name() + " uses what is not defined: " + missing;
      return new Failure("UnresolvedReference", message, "");
    }
    String name = exception instanceof EvalException e ? e.getExceptionClassName() : exception.getClass().getName();
    return new Failure(name, String.valueOf(exception.getMessage()), traceOf(name, exception));
  }

  /** Returns a stack trace with the causes, and without the frames below the snippet. */
  private static String traceOf(String name, Throwable exception) {
    StringWriter text = new StringWriter();
    text.write(name + ": " + exception.getMessage() + "\n");
    for (StackTraceElement frame : exception.getStackTrace()) {
      text.write("    at " + frame.toString().replaceFirst("^REPL\\.\\$JShell\\$\\w+\\.", "") + "\n");
    }
    if (exception.getCause() != null) {
      exception.getCause().printStackTrace(new PrintWriter(text.append("Caused by: ")));
    }
    return text.toString();
  }

  private void send(Failure failure) throws IOException {
    send(
        "{\"error\":{\"name\":" + quote(failure.name()) + ",\"message\":" + quote(failure.message())
            + ",\"traceback\":" + quote(failure.traceback()) + "}}");
  }

  private void send(String event) throws IOException {
    events.write((event + "\n").getBytes(StandardCharsets.UTF_8));
    events.flush();
  }

  /** Returns s as a JSON string. */
  private static String quote(String s) {
    StringBuilder quoted = new StringBuilder(s.length() + 16).append('"');
    for (char c : s.toCharArray()) {
      switch (c) {
        case '"', '\\' -> quoted.append('\\').append(c);
        case '\n' -> quoted.append("\\n");
        default -> {
          if (c < ' ' || Character.isSurrogate(c)) {
            quoted.append(String.format("\\u%04x", (int) c));
          } else {
            quoted.append(c);
          }
        }
      }
    }
    return quoted.append('"').toString();
  }

  /** Returns the code in a request, {"code":"…"}, whose text the guest escapes as JSON does. */
  private static String codeOf(String request) {
    StringBuilder code = new StringBuilder(request.length());
    int end = request.lastIndexOf('"');
    for (int i = request.indexOf(":\"") + 2; i < end; i++) {
      char c = request.charAt(i);
      if (c != '\\') {
        code.append(c);
        continue;
      }
      c = request.charAt(++i);
      switch (c) {
        case 'n' -> code.append('\n');
        case 't' -> code.append('\t');
        case 'r' -> code.append('\r');
        case 'b' -> code.append('\b');
        case 'f' -> code.append('\f');
        case 'u' -> {
          code.append((char) Integer.parseInt(request.substring(i + 1, i + 5), 16));
          i += 4;
        }
        default -> code.append(c);
      }
    }
    return code.toString();
  }
}
