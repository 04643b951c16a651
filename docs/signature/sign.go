// Signs a Begin in Go. No module needed. The nonce: crypto/rand.Text(), anew for each.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
)

type begin struct {
	projectID, integrationID, connectionID string
	connectionConfig, authorizationParams  map[string]string
	scopes, userScopes                     []string
	returnURL                              string
}

func mac(key []byte, message string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return hex.EncodeToString(h.Sum(nil))
}

func netstrings(fields ...string) string {
	var b strings.Builder
	for _, field := range fields {
		fmt.Fprintf(&b, "%d:%s,", len(field), field)
	}
	return b.String()
}

func list(name string, items []string) string {
	return netstrings(append([]string{name, fmt.Sprint(len(items))}, items...)...)
}

func fields(name string, m map[string]string) string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	out := netstrings(name, fmt.Sprint(len(m)))
	for _, key := range keys {
		out += netstrings(key, m[key])
	}
	return out
}

func signV1(key []byte, integrationID, connectionID string) string {
	return mac(key, integrationID+":"+connectionID)
}

func signV2(key []byte, expiry int64, nonce string, b begin) string {
	content := fields("connection_config", b.connectionConfig) +
		fields("authorization_params", b.authorizationParams) +
		list("scopes", b.scopes) + list("user_scopes", b.userScopes) +
		netstrings("return_url", b.returnURL)
	digest := sha256.Sum256([]byte(content))
	message := netstrings("tokenwell-begin-v2", b.projectID, b.integrationID, b.connectionID,
		fmt.Sprint(expiry), hex.EncodeToString(digest[:]), nonce)
	return fmt.Sprintf("t=%d,n=%s,v2=%s", expiry, nonce, mac(key, message))
}

func main() {
	key := []byte("0123456789abcdef0123456789abcdef")
	fmt.Println(signV1(key, "zendesk", "user-1"))
	fmt.Println(signV2(key, 1790000600, "n-1", begin{
		projectID: "default", integrationID: "zendesk", connectionID: "user-1",
		connectionConfig:    map[string]string{"subdomain": "acme"},
		authorizationParams: map[string]string{"login_hint": "zoë", "b": "2"},
		scopes:              []string{"read", "write"},
		returnURL:           "https://app.example.com/done",
	}))
}
