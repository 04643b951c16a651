// Signs a Begin in Java 17. No dependency needed. The nonce: UUID.randomUUID(), anew for each.

import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Sign {
  public record Begin(
      String projectId,
      String integrationId,
      String connectionId,
      Map<String, String> connectionConfig,
      Map<String, String> authorizationParams,
      List<String> scopes,
      List<String> userScopes,
      String returnUrl) {}

  public static String signV1(byte[] key, String integrationId, String connectionId)
      throws GeneralSecurityException {
    return mac(key, integrationId + ":" + connectionId);
  }

  public static String signV2(byte[] key, long expiry, String nonce, Begin begin)
      throws GeneralSecurityException {
    String content =
        fields("connection_config", begin.connectionConfig())
            + fields("authorization_params", begin.authorizationParams())
            + list("scopes", begin.scopes())
            + list("user_scopes", begin.userScopes())
            + netstring("return_url")
            + netstring(begin.returnUrl());
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(content.getBytes(UTF_8));
    String message =
        netstring("tokenwell-begin-v2")
            + netstring(begin.projectId())
            + netstring(begin.integrationId())
            + netstring(begin.connectionId())
            + netstring(Long.toString(expiry))
            + netstring(HexFormat.of().formatHex(digest))
            + netstring(nonce);
    return "t=" + expiry + ",n=" + nonce + ",v2=" + mac(key, message);
  }

  private static String mac(byte[] key, String message) throws GeneralSecurityException {
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    return HexFormat.of().formatHex(mac.doFinal(message.getBytes(UTF_8)));
  }

  private static String netstring(String field) {
    return field.getBytes(UTF_8).length + ":" + field + ",";
  }

  private static String list(String name, List<String> items) {
    StringBuilder out = new StringBuilder(netstring(name) + netstring(Integer.toString(items.size())));
    items.forEach(item -> out.append(netstring(item)));
    return out.toString();
  }

  private static String fields(String name, Map<String, String> map) {
    StringBuilder out = new StringBuilder(netstring(name) + netstring(Integer.toString(map.size())));
    new TreeMap<>(map).forEach((key, value) -> out.append(netstring(key)).append(netstring(value)));
    return out.toString();
  }

  public static void main(String[] args) throws GeneralSecurityException {
    byte[] key = "0123456789abcdef0123456789abcdef".getBytes(UTF_8);
    System.out.println(signV1(key, "zendesk", "user-1"));
    System.out.println(
        signV2(
            key,
            1790000600L,
            "n-1",
            new Begin(
                "default",
                "zendesk",
                "user-1",
                Map.of("subdomain", "acme"),
                Map.of("login_hint", "zo\u00eb", "b", "2"),
                List.of("read", "write"),
                List.of(),
                "https://app.example.com/done")));
  }
}
