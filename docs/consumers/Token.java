import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * Calls an API with the published token, which the AWS Secrets Manager Agent keeps for five
 * minutes. It needs nothing but Java 17. In Lambda the agent's token is AWS_SESSION_TOKEN.
 */
class Token {
  private final HttpClient http = HttpClient.newHttpClient();
  private final URI api = URI.create(System.getenv("API_URL"));

  public static void main(String[] arguments) throws Exception {
    Token token = new Token();
    for (int number = 1; number <= 2; number++) {
      System.out.println("call " + number + ": " + token.callApi());
    }
  }

  private String callApi() throws IOException, InterruptedException {
    String authorization = read("");
    HttpResponse<byte[]> answer = send(authorization);
    if (answer.statusCode() == 401) {
      System.out.println("the token was refused; reading it again");
      String newer = read("&refreshNow=true");
      if (newer.equals(authorization)) {
        throw new IOException("it was refused, and there is no newer one");
      }
      answer = send(newer);
    }
    return answer.statusCode() + ", " + answer.body().length + " bytes";
  }

  private HttpResponse<byte[]> send(String authorization)
      throws IOException, InterruptedException {
    HttpRequest call = request(api).header("Authorization", authorization).build();
    return http.send(call, BodyHandlers.ofByteArray());
  }

  private String read(String more) throws IOException, InterruptedException {
    String port = System.getenv().getOrDefault("AGENT_PORT", "2773");
    String file = System.getenv().getOrDefault("AGENT_TOKEN_FILE", "/var/run/awssmatoken");
    String query = "secretId=" + URLEncoder.encode(System.getenv("TOKEN_SECRET"), StandardCharsets.UTF_8);
    URI agent = URI.create("http://localhost:" + port + "/secretsmanager/get?" + query + more);
    HttpRequest read = request(agent)
        .header("X-Aws-Parameters-Secrets-Token", Files.readString(Path.of(file)).strip())
        .build();
    HttpResponse<String> answer = http.send(read, BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IOException("the agent answered " + answer.statusCode());
    }
    String secret = member(answer.body(), "SecretString");
    return member(secret, "token_type") + " " + member(secret, "access_token");
  }

  /**
   * The text of a JSON object's own member, whatever other members come before it or hold. With a
   * JSON library at hand, parse the agent's answer by it, and then its SecretString.
   */
  static String member(String json, String name) throws IOException {
    int depth = 0;
    boolean isValue = false;
    String last = "";
    for (int at = 0; at < json.length(); at++) {
      switch (json.charAt(at)) {
        case '{', '[' -> depth++;
        case '}', ']' -> depth--;
        case ':' -> isValue = true;
        case ',' -> isValue = false;
        case '"' -> {
          var text = new StringBuilder();
          for (at++; json.charAt(at) != '"'; at++) {
            if (json.charAt(at) != '\\') {
              text.append(json.charAt(at));
            } else if (json.charAt(++at) == 'u') {
              text.append((char) Integer.parseInt(json.substring(at + 1, at + 5), 16));
              at += 4;
            } else {
              int escape = "bfnrt".indexOf(json.charAt(at));
              text.append(escape < 0 ? json.charAt(at) : "\b\f\n\r\t".charAt(escape));
            }
          }
          if (depth == 1 && isValue && last.equals(name)) {
            return text.toString();
          }
          last = text.toString();
        }
        default -> { }
      }
    }
    throw new IOException("there is no text at " + name);
  }

  private static HttpRequest.Builder request(URI uri) {
    return HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(10));
  }
}
