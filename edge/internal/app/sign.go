package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

type signCommand struct {
	URL       string   `arg:"" name:"URL" help:"Address of the page; what follows a # is dropped."`
	Ticket    string   `required:"" env:"WXEDGE_TICKET" placeholder:"T" help:"The jsapi_ticket. In the environment it does not show in the list of processes."`
	AppID     string   `name:"appid" placeholder:"ID" help:"Only printed: it is not part of what is signed."`
	NonceStr  string   `name:"noncestr" placeholder:"N" help:"Letters, digits, _ and -, 64 at most. Random if not given."`
	Timestamp string   `placeholder:"S" help:"Seconds since 1970. The present if not given."`
	JSAPI     []string `name:"js-api" placeholder:"NAME" help:"Only printed: a name for jsApiList. For several, repeat it or put commas between them."`
}

// Run signs and prints.
func (c signCommand) Run(r daemon.Running) error {
	// An empty ticket comes from a shell variable that is not set. A space or an &
	// would end the ticket in the text that is signed.
	if c.Ticket == "" || strings.ContainsAny(c.Ticket, "& \t\r\n") {
		return errors.New("--ticket is empty, or has a space or an & in it")
	}
	page, err := jsapi.ParseURL(c.URL)
	if err != nil {
		return err
	}
	nonce, timestamp := c.NonceStr, time.Now().Unix()
	if nonce == "" {
		nonce = jsapi.NewNonce()
	}
	if c.Timestamp != "" {
		if timestamp, err = jsapi.ParseTimestamp(c.Timestamp); err != nil {
			return err
		}
	}
	config, err := jsapi.NewSigner(c.AppID, c.Ticket).SignWith(page, nonce, timestamp)
	if err != nil {
		return err
	}
	config.JSAPIList = append([]string{}, c.JSAPI...)
	encoder := json.NewEncoder(r.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(config); err != nil {
		return fmt.Errorf("printing the signature: %w", err)
	}
	return nil
}
