// Command run is `make run`: it starts a broker and an edge, and a simulated
// WeChat unless WX_APPID and WX_APPSECRET name a real account, and a small web
// site that uses them. It runs from the repository's root over the binaries in
// bin/, and ends all of it on Ctrl-C.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// The default addresses of the programs, and the demonstration site's.
const (
	simAddress       = "127.0.0.1:7699"
	brokerAddress    = "127.0.0.1:7600"
	brokerOpsAddress = "127.0.0.1:7601"
	edgeAddress      = "127.0.0.1:7610"
	edgeOpsAddress   = "127.0.0.1:7611"
	siteAddress      = "127.0.0.1:7620"
)

// The account that the simulated WeChat knows.
const (
	simAppID  = "wx0123456789abcdef"
	simSecret = "0123456789abcdef0123456789abcdef" // of nothing: the simulator's
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

// account is the account that is used, and where its WeChat and its files are.
type account struct {
	appid, secret string
	upstream      string // "" for WeChat itself
	data          string // directory of the configuration and the database
}

// run starts everything. It returns when it is told to stop, or when one of the programs
// ends by itself, which is an error.
func run() (err error) {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer func() {
		if told.Err() != nil {
			err = nil
		}
	}()
	a, simulated, err := chooseAccount()
	if err != nil {
		return err
	}
	if simulated { // the next simulator will not know the values that this one handed out
		defer func() { err = errors.Join(err, os.RemoveAll(a.data)) }()
	}
	config, err := a.writeConfig()
	if err != nil {
		return err
	}
	key, keyFile, err := a.writeKey()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(told)
	defer cancel(nil)
	programs := &programs{ctx: ctx, failed: cancel}
	defer programs.wait() // after cancel: defers run backwards
	defer cancel(nil)

	if simulated {
		programs.start("wxsim", nil, "--listen", simAddress, "--appid", a.appid, "--secret", a.secret)
		if err := answers(ctx, "http://"+simAddress+"/"); err != nil {
			return err
		}
	}
	programs.start("wxbroker", []string{"WX_APPSECRET=" + a.secret}, "serve", "--config", config)
	if err := answers(ctx, "http://"+brokerOpsAddress+"/readyz"); err != nil {
		return err
	}
	programs.start("wxedge", nil, "serve", "--broker", brokerAddress, "--listen", edgeAddress, "--ops-listen", edgeOpsAddress,
		"--local-key-file", keyFile)
	if err := answers(ctx, "http://"+edgeOpsAddress+"/readyz"); err != nil {
		return err
	}
	site, err := startSite(ctx, simulated)
	if err != nil {
		return err
	}
	defer site.Close()
	fmt.Print(greeting(a.appid, key, simulated))
	<-ctx.Done()
	return context.Cause(ctx)
}

// chooseAccount takes the account from the environment, or the simulator's.
func chooseAccount() (a account, simulated bool, err error) {
	appid, secret := os.Getenv("WX_APPID"), os.Getenv("WX_APPSECRET")
	switch {
	case appid != "" && secret != "":
		// The directory is kept, so that the next run goes on with what this one has.
		return account{appid: appid, secret: secret, data: ".run"}, false, os.MkdirAll(".run", 0o700)
	case appid != "" || secret != "":
		return account{}, false, errors.New("set both WX_APPID and WX_APPSECRET for a real account, or neither for the simulator")
	}
	dir, err := os.MkdirTemp("", "wxbroker-run-")
	return account{appid: simAppID, secret: simSecret, upstream: "http://" + simAddress, data: dir}, true, err
}

func (a account) writeConfig() (path string, err error) {
	text := fmt.Sprintf("data: %q\naccounts:\n  - appid: %q\n    secret_env: WX_APPSECRET\n",
		filepath.Join(a.data, a.appid+".db"), a.appid)
	if a.upstream != "" {
		text += fmt.Sprintf("upstreams: [%q]\n", a.upstream)
	}
	path = filepath.Join(a.data, "wxbroker.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// writeKey makes a local key for this run.
func (a account) writeKey() (key, path string, err error) {
	key = rand.Text()
	path = filepath.Join(a.data, "local-key")
	return key, path, os.WriteFile(path, []byte(key+"\n"), 0o600)
}

// answers waits until url answers 200, without a bound: the programs' own log says what is
// wrong.
func answers(ctx context.Context, url string) error {
	const patience = 15 * time.Second
	for start, warned := time.Now(), false; ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Since(start) > patience && !warned {
			warned = true
			fmt.Fprintf(os.Stderr, "\nStill waiting for %s: the lines above say why. Ctrl-C ends all of it.\n\n", url)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func greeting(appid, key string, simulated bool) string {
	message := "" // with a real account nobody should send messages to try this
	if simulated {
		message = fmt.Sprintf(`
Send a template message, with the token that the broker has:

  curl -H 'Authorization: Bearer %s' --json '{"touser":"o1","template_id":"t1","data":{}}' http://%s/v1/template/send
`, key, edgeAddress)
	}
	what := "This is a REAL account: the tokens and tickets below are WeChat's own."
	if simulated {
		what = `WeChat is SIMULATED here (bin/wxsim): no signature below works in the real WeChat.
For a real account: WX_APPID=wx… WX_APPSECRET=… make run`
	}
	return fmt.Sprintf(`
────────────────────────────────────────────────────────────────────────────────
Broker and edge are up. %s

Sign a page:

  curl 'http://%s/v1/jsapi/config?url=https%%3A%%2F%%2Fshop.example.com%%2F'

Open a page that signs itself:

  http://%s/
%s
Point a WeChat SDK at it: API host http://%s, appid %s,
and in place of the AppSecret the local key of this run, %s

Ctrl-C ends all of it.
────────────────────────────────────────────────────────────────────────────────
`, what, edgeAddress, siteAddress, message, edgeAddress, appid, key)
}
