package config

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// appSecretForm is what an AppSecret looks like. An AppSecret that was written in
// the place of its file's or variable's name must not be quoted.
var appSecretForm = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// plainName is the form of names that people choose. Anything else that is written as
// a variable's name may be a secret, and is not quoted.
var plainName = regexp.MustCompile(`^([A-Z0-9_]+|[A-Za-z_]+)$`)

// maxSecret bounds a secret's file, in bytes. An AppSecret has 32.
const maxSecret = 1 << 10

// secret reads an account's AppSecret.
func (r *reader) secret(key string, a *Account) {
	written := a.written
	switch {
	case (written.SecretFile == "") == (written.SecretEnv == ""):
		r.wrongf(key, "needs exactly one of secret_file and secret_env")
	case appSecretForm.MatchString(written.SecretFile):
		r.wrongf(key+".secret_file", "is an AppSecret by its looks: put it into a file, and the file's name here")
	case appSecretForm.MatchString(written.SecretEnv) || written.SecretEnv != "" && !variableForm.MatchString(written.SecretEnv):
		r.wrongf(key+".secret_env", "is not the name of an environment variable")
	case written.SecretEnv != "":
		r.secretVariable(key+".secret_env", a)
	default:
		r.secretFile(key+".secret_file", a)
	}
}

func (r *reader) secretVariable(key string, a *Account) {
	name := a.written.SecretEnv
	value := os.Getenv(name)
	switch {
	case strings.TrimSpace(value) == "" && !plainName.MatchString(name):
		r.wrongf(key, "there is no environment variable of this name, which is not shown: it may be a secret")
		return
	case strings.TrimSpace(value) == "":
		r.wrongf(key, "the environment variable %s is empty or not set", name)
		return
	}
	var err error
	if a.Secret, err = parseSecret([]byte(value)); err != nil {
		r.wrongf(key, "the environment variable %s %v", name, err)
	}
}

func (r *reader) secretFile(key string, a *Account) {
	path := a.written.SecretFile
	file := follow.Group{What: "AppSecret", Paths: []string{path}, Limit: maxSecret}
	read, err := file.Read(r.ctx)
	if err == nil {
		a.Secret, err = secretIn(path, read)
	}
	if err != nil {
		r.wrongf(key, "%v", err)
		return
	}
	if read.Files[0].Exposed {
		r.warnf(key, "%s can be read by every user of this machine: chmod 600 it", path)
	}
	a.FollowSecret = func(ctx context.Context, log *slog.Logger, use func(credential.Secret)) {
		file.Run(ctx, log, read.Fingerprint, func(c follow.Contents) error {
			secret, err := secretIn(path, c)
			if err == nil {
				use(secret)
			}
			return err
		})
	}
}

// secretIn returns the AppSecret in its file.
func secretIn(path string, read follow.Contents) (credential.Secret, error) {
	secret, err := parseSecret(read.Files[0].Bytes)
	if err != nil {
		return credential.Secret{}, fmt.Errorf("%s %w", path, err)
	}
	return secret, nil
}

// parseSecret returns the AppSecret that somebody wrote into a file or a variable. A
// byte order mark, which some editors put first, and white space around it do not
// belong to it. The error says what has the wrong form, and quotes nothing.
func parseSecret(written []byte) (credential.Secret, error) {
	value := strings.TrimSpace(string(bytes.TrimPrefix(written, utf8Mark)))
	var wrong string
	switch {
	case isUTF16(written):
		wrong = "it is written in UTF-16: save it as UTF-8"
	case value == "":
		wrong = "there is nothing in it"
	case strings.ContainsAny(value, "\"'`"):
		wrong = "there are quotes around it or in it: leave them out"
	case strings.Contains(value, "="):
		wrong = "it has the form KEY=value: leave the key out"
	case strings.ContainsAny(value, " \t\r\n"):
		wrong = "there is more than one word"
	case strings.ContainsFunc(value, func(c rune) bool { return c < '!' || c > '~' }):
		wrong = "it has a character that no AppSecret has"
	default:
		return credential.NewSecret(value), nil
	}
	return credential.Secret{}, fmt.Errorf("does not hold just an AppSecret: %s", wrong)
}
