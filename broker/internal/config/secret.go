package config

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// appSecretForm is what an AppSecret looks like. One that stands where its
// file's name or its variable's belongs must not be quoted.
var appSecretForm = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// maxSecret bounds a secret's file, in bytes. An AppSecret has 32.
const maxSecret = 1 << 10

func (r *reader) secret(key string, written fileAccount) credential.Secret {
	switch {
	case (written.SecretFile == "") == (written.SecretEnv == ""):
		r.wrongf(key, "needs exactly one of secret_file and secret_env")
		return credential.Secret{}
	case appSecretForm.MatchString(written.SecretFile):
		r.wrongf(key+".secret_file", "is an AppSecret by its looks: put it into a file, and the file's name here")
		return credential.Secret{}
	case appSecretForm.MatchString(written.SecretEnv) || written.SecretEnv != "" && !variableForm.MatchString(written.SecretEnv):
		r.wrongf(key+".secret_env", "is not the name of an environment variable")
		return credential.Secret{}
	case written.SecretEnv != "":
		value := strings.TrimSpace(os.Getenv(written.SecretEnv))
		if value == "" {
			r.wrongf(key+".secret_env", "the environment variable %s is empty or not set", written.SecretEnv)
		}
		return credential.NewSecret(value)
	}
	return r.secretFile(key+".secret_file", written.SecretFile)
}

func (r *reader) secretFile(key, path string) credential.Secret {
	secret, worldReadable, err := readSecret(r.ctx, path)
	if err != nil {
		r.wrongf(key, "%v", err)
	}
	if worldReadable {
		r.warnf(key, "%s can be read by every user of this machine: chmod 600 it", path)
	}
	return secret
}

// readSecret reads an AppSecret from its file, and says whether every user of
// the machine can.
func readSecret(ctx context.Context, path string) (secret credential.Secret, worldReadable bool, err error) {
	file, err := follow.Read(ctx, path, maxSecret)
	if err != nil {
		return credential.Secret{}, false, err
	}
	value := strings.TrimSpace(string(file.Bytes))
	if value == "" || strings.ContainsAny(value, " \t\r\n") {
		return credential.Secret{}, false, fmt.Errorf("%s does not hold just an AppSecret", path)
	}
	return credential.NewSecret(value), file.Exposed, nil
}
