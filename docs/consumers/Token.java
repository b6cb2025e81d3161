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
import java.util.regex.Pattern;

/**
 * Calls an API with the published token, which the AWS Secrets Manager Agent keeps for five
 * minutes. It needs nothing but Java 17. In Lambda the agent's token is AWS_SESSION_TOKEN.
 */
class Token {
  // The secret's text is a string within the agent's JSON, so its quotes are escaped. That is all
  // there is to unescape: a published token has the characters of RFC 6750 alone. Where you have a
  // JSON library, parse the agent's answer, and then its SecretString.
  private static final Pattern ACCESS_TOKEN =
      Pattern.compile("\\\\\"access_token\\\\\":\\\\\"([A-Za-z0-9._~+/=-]+)\\\\\"");

  private final HttpClient http = HttpClient.newHttpClient();
  private final URI api = URI.create(System.getenv("API_URL"));

  public static void main(String[] arguments) throws Exception {
    Token token = new Token();
    for (int number = 1; number <= 2; number++) {
      System.out.println("call " + number + ": " + token.callApi());
    }
  }

  private String callApi() throws IOException, InterruptedException {
    String token = read("");
    HttpResponse<byte[]> answer = send(token);
    if (answer.statusCode() == 401) {
      System.out.println("the token was refused; reading it again");
      String newer = read("&refreshNow=true");
      if (newer.equals(token)) {
        throw new IOException("it was refused, and there is no newer one");
      }
      answer = send(newer);
    }
    return answer.statusCode() + ", " + answer.body().length + " bytes";
  }

  private HttpResponse<byte[]> send(String token) throws IOException, InterruptedException {
    HttpRequest call = request(api).header("Authorization", "Bearer " + token).build();
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
    var found = ACCESS_TOKEN.matcher(answer.body());
    if (answer.statusCode() != 200 || !found.find()) {
      throw new IOException("the agent answered " + answer.statusCode());
    }
    return found.group(1);
  }

  private static HttpRequest.Builder request(URI uri) {
    return HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(10));
  }
}
