// The TLS front of a registry that wants bearer tokens, and the server that issues them, as
// https://distribution.github.io/distribution/spec/auth/token/ has it. Both are at one address,
// so that the realm, which the registry derives from the name that it was asked by, is right for
// nodes and pods as well as for a client that comes through a forwarded port.
package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const lifetime = 5 * time.Minute

type account struct {
	password string
	actions  []string // what it may do, in every repository
}

// access is one entry of what a token allows.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

type issuer struct {
	name, service string
	key           *ecdsa.PrivateKey
	chain         []string // the key's certificate for the header x5c: DER in base64
	accounts      map[string]account
}

func main() {
	listen := flag.String("listen", "", "address")
	upstream := flag.String("upstream", "", "address of the registry, plain HTTP")
	certificate := flag.String("tls-certificate", "", "file")
	key := flag.String("tls-key", "", "file")
	tokenCertificate := flag.String("token-certificate", "", "file: of the key that signs, issued by one whom the registry knows")
	tokenKey := flag.String("token-key", "", "file")
	accounts := flag.String("accounts", "", "file: a line each of name, password and actions (pull,push), separated by blanks")
	name := flag.String("issuer", "", "as the registry expects it")
	service := flag.String("service", "", "as the registry names itself")
	flag.Parse()

	tokens := &issuer{name: *name, service: *service}
	if err := errors.Join(tokens.readKey(*tokenCertificate, *tokenKey), tokens.readAccounts(*accounts)); err != nil {
		log.Fatal(err)
	}

	registry := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(&url.URL{Scheme: "http", Host: *upstream})
		// The realm and the places of uploads are made from the name that the client used.
		request.Out.Host = request.In.Host
		request.SetXForwarded()
	}}
	mux := http.NewServeMux()
	// The path of docker-registry's `autoredirect`.
	mux.Handle("/auth/token", tokens)
	mux.Handle("/", registry)
	log.Fatal(http.ListenAndServeTLS(*listen, *certificate, *key, mux))
}

func (i *issuer) readKey(certificateFile, keyFile string) error {
	pemBlock := func(file string) ([]byte, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s holds no PEM", file)
		}
		return block.Bytes, nil
	}
	certificate, err := pemBlock(certificateFile)
	if err != nil {
		return err
	}
	key, err := pemBlock(keyFile)
	if err != nil {
		return err
	}
	i.chain = []string{base64.StdEncoding.EncodeToString(certificate)}
	i.key, err = x509.ParseECPrivateKey(key)
	return err
}

func (i *issuer) readAccounts(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	i.accounts = map[string]account{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 3 {
			return fmt.Errorf("%s: not name, password, actions: %q", file, fields[0])
		}
		i.accounts[fields[0]] = account{password: fields[1], actions: strings.Split(fields[2], ",")}
	}
	return nil
}

func (i *issuer) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	// With OAuth2's POST a client would find the same accounts; clients try GET after 405.
	if request.Method != http.MethodGet {
		refuse(response, http.StatusMethodNotAllowed, "UNSUPPORTED", "only GET")
		return
	}
	query := request.URL.Query()
	if service := query.Get("service"); service != i.service {
		refuse(response, http.StatusBadRequest, "UNSUPPORTED", fmt.Sprintf("no such service: %q", service))
		return
	}

	var allowed []string
	user, password, named := request.BasicAuth()
	if named {
		account, known := i.accounts[user]
		if !known || subtle.ConstantTimeCompare([]byte(account.password), []byte(password)) != 1 {
			log.Printf("%q: wrong user or password", user)
			refuse(response, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
			return
		}
		allowed = account.actions
	}

	// Who may not gets a token all the same, with less or nothing in it: the registry refuses then.
	granted := []access{}
	for _, scopes := range query["scope"] {
		for scope := range strings.FieldsSeq(scopes) {
			if entry, ok := grant(scope, allowed); ok {
				granted = append(granted, entry)
			}
		}
	}
	token, err := i.sign(user, granted)
	if err != nil {
		log.Print(err)
		refuse(response, http.StatusInternalServerError, "UNKNOWN", "cannot sign")
		return
	}
	log.Printf("%q: %v of %v", user, granted, query["scope"])
	response.Header().Set("Content-Type", "application/json")
	json.NewEncoder(response).Encode(map[string]any{
		"token": token, "access_token": token, "expires_in": int(lifetime.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	})
}

// grant makes of a scope ("repository:a/b:pull,push") what of it is allowed.
func grant(scope string, allowed []string) (access, bool) {
	kind, rest, _ := strings.Cut(scope, ":")
	colon := strings.LastIndexByte(rest, ':')
	if kind != "repository" || colon < 1 {
		return access{}, false
	}
	actions := slices.DeleteFunc(strings.Split(rest[colon+1:], ","), func(action string) bool {
		return !slices.Contains(allowed, action)
	})
	return access{Type: kind, Name: rest[:colon], Actions: actions}, len(actions) > 0
}

func (i *issuer) sign(user string, granted []access) (string, error) {
	now := time.Now()
	part := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	unsigned := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": i.chain}) + "." + part(map[string]any{
		"iss": i.name, "sub": user, "aud": i.service, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-10 * time.Second).Unix(), "exp": now.Add(lifetime).Unix(),
		"access": granted,
	})
	digest := sha256.Sum256([]byte(unsigned))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func refuse(response http.ResponseWriter, status int, code, message string) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	json.NewEncoder(response).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}
