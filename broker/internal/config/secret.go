package config

import (
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
		value := strings.TrimSpace(os.Getenv(written.SecretEnv))
		if value == "" {
			r.wrongf(key+".secret_env", "the environment variable %s is empty or not set", written.SecretEnv)
		}
		a.Secret = credential.NewSecret(value)
	default:
		r.secretFile(key+".secret_file", a)
	}
}

func (r *reader) secretFile(key string, a *Account) {
	path := a.written.SecretFile
	file := follow.Group{What: "AppSecret", Paths: []string{path}, Limit: maxSecret}
	read, err := file.Read(r.ctx)
	if err == nil {
		a.Secret, err = parseSecret(path, read)
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
			secret, err := parseSecret(path, c)
			if err == nil {
				use(secret)
			}
			return err
		})
	}
}

// parseSecret returns the AppSecret in its file. No error quotes the content.
func parseSecret(path string, read follow.Contents) (credential.Secret, error) {
	value := strings.TrimSpace(string(read.Files[0].Bytes))
	if value == "" || strings.ContainsAny(value, " \t\r\n") {
		return credential.Secret{}, fmt.Errorf("%s does not hold just an AppSecret", path)
	}
	return credential.NewSecret(value), nil
}
