'use strict';

// What the drivers share. A driver is a program that uses one SDK as its README
// says. It takes one step per line of its input, such as
//
//	{"step": "sign", "url": "https://shop.example.com/"}
//
// and prints one line for each: what came of it, or the SDK's error.

const crypto = require('node:crypto');
const fs = require('node:fs');
const readline = require('node:readline');

function given(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

exports.host = given('WX_HOST'); // in place of api.weixin.qq.com
exports.appid = given('WX_APPID');
exports.secret = given('WX_SECRET');

// about returns what may be printed of a token or ticket. In the end the value itself is
// written to a file beside the SDK's own, so that the test can look for it where it must
// not be.
exports.about = (value) => {
  held.add(value);
  return {
    alias: value.startsWith('wxb_'),
    sha256: crypto.createHash('sha256').update(value).digest('hex'),
  };
};

const held = new Set();

exports.run = async (steps) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { step, ...rest } = JSON.parse(line);
    try {
      print({ step, result: await steps[step](rest) });
    } catch (e) {
      // Some SDKs give an Error with WeChat's code, some WeChat's answer.
      print({ step, error: { code: e.code ?? e.errcode, message: e.message ?? e.errmsg } });
    }
  }
  fs.writeFileSync('held.json', JSON.stringify([...held]));
  process.exit(0); // whatever timers an SDK has
};

function print(answer) {
  console.log(JSON.stringify(answer));
}
