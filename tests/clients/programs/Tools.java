// Runs Kafka's command-line tools one after the other in one JVM, whose start would else be most of a test's time.
// A line of input is CLASS and its arguments, split by tabs. Its output is all that the tool prints, and then a line: \0 and its exit code.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

public class Tools {
  static volatile CompletableFuture<Integer> ended;

  static void run(String[] words) {
    try {
      Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
      ended.complete(0);
    } catch (ReflectiveOperationException error) {
      error.printStackTrace(System.out);
      ended.complete(1);
    }
  }

  public static void main(String[] none) throws Exception {
    System.setErr(System.out);
    // What exits does not go on: neither its catch nor its finally would run in a JVM of its own.
    Exit.Procedure exit = (code, message) -> {
      if (message != null) System.out.println(message);
      ended.complete(code);
      while (true) LockSupport.park();
    };
    Exit.setExitProcedure(exit);
    Exit.setHaltProcedure(exit);
    var commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = commands.readLine()) != null; ) {
      var words = line.split("\t");
      ended = new CompletableFuture<>();
      var thread = new Thread(() -> run(words));
      thread.setDaemon(true);
      thread.start();
      System.out.println("\0" + ended.get());
    }
    Runtime.getRuntime().halt(0);
  }
}
