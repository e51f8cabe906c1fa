"""Questions to a customer: that they are some, and that they ask for nothing that a customer must keep to themselves.

They are judged more strictly than replies: a question that names a secret and asks for it in whatever words is none of
ours. As with promises, it is rather found once too often.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ticketflow.workflow.published import Published

MAX_UNSOURCED = 600
"""Characters of a question that cites nothing: it asks, and has nothing to tell."""

_QUESTION = re.compile("[?\uff1f\u061f\u037e]")
_INTERNATIONAL = r"pass ?words?|pins?(?:[ -]?codes?)?|cvv2?|cvc2?|otp"
_LANGUAGES = tuple(
    (re.compile(rf"\b(?:{asks})", re.IGNORECASE), re.compile(rf"\b(?:{_INTERNATIONAL}|{secrets})\b", re.IGNORECASE))
    for asks, secrets in (
        (
            r"(?:what|which)(?:'s| is| are| was| were)? (?:\w+ )?(?:the|your|code|pin|password|digits|number)|tell"
            r"|send|giv(?:e|ing)|provid|shar(?:e|ing)|confirm|reply|respond|answer with|let us|let me|read (?:it "
            r"|us |out)|stat(?:e|ing)|text|forward|supply|(?:we|i)(?:'ll| will| would| do| also| still| just"
            r"| only){0,3} (?:need|require)|(?:may|can|could) (?:we|i) (?:have|get|see|ask)|(?:write|type) (?:down"
            r"|us|me|back|it|your)|remind|photo|picture|copy of",
            r"pass ?(?:phrases?|codes?)|credentials|log-?in (?:details|data)|security (?:code|number|question"
            r"|answer)s?|(?:card|credit card) (?:number|details|data|verification\w*)|digits|maiden name|(?:private"
            r"|api|recovery) keys?|one-?time[ -]?(?:code|pass\w*)|(?:verification|authentication|authenticator|sms"
            r"|text|access|log-?in|backup|recovery|two-(?:factor|step)|2fa|mfa) ?-?codes?|codes? (?:that "
            r"|which )?(?:we|you|your|my|the|did|just|was|were|has|have|on the back|from)|sides of (?:your|the) card",
        ),
        (
            r"wie (?:ist|lautet|lauten|war)|was ist|welche|nenn|schick|send|geb|gib|teil|mitteil|angeb|mitzuteil"
            r"|bestätig|verrat|brauche|benötig|übermittel|lass|antwort",
            r"passw[oö]rt\w*|kennw[oö]rt\w*|prüf(?:nummer|ziffer)\w*|(?:sicherheits|bestätigungs|verifizierungs"
            r"|einmal|anmelde|zugangs|sms|freischalt)-?(?:code|kennwort|passwort)\w*|(?:kredit|bank)?karten(?:nummer"
            r"|daten)|geheimzahl|tan|pin-nummer|(?:zugangs|anmelde|login)-?daten|iban und pin",
        ),
        (
            r"quel(?:le)?s? (?:est|sont|était)|donn|indiqu|communiqu|envo[yi]|fourni|transmet|précis|confirm|besoin"
            r"|partag|rappel|dire|dites|répond",
            r"mots? de passe|codes? (?:secret|confidentiel|pin|sms|à usage unique|de (?:sécurité|vérification"
            r"|confirmation|connexion)|reçu|que nous)|cryptogramme|(?:numéro|chiffres)(?: complet)? (?:de"
            r"|sur) (?:votre |la )?carte|identifiants de connexion",
        ),
        (
            r"cuál(?:es)? (?:es|son|era)|díga|dime|decir|dar\w*|denos|envi|enví|mand|indi[cq]|proporcion|facilit"
            r"|confirm|necesit|compart|comuni[cq]|respond",
            r"contraseñas?|claves?|códigos? (?:secreto|sms|pin|que|de (?:seguridad|verificación|acceso|confirmación"
            r"|un solo uso))|número(?: completo)? de (?:su |la |tu )?tarjeta|datos de (?:su |la |tu )?tarjeta",
        ),
        (
            r"qual (?:è|era)|quali sono|dir[ec]|dica|dici|dare|dia|comuni|invi|mand|forni|indic|conferm|serve"
            r"|servono|bisogno|condivid|risponda",
            r"parola d.ordine|codic[ei] (?:segreto|sms|otp|pin|cvv|monouso|che|di (?:sicurezza|verifica|accesso"
            r"|conferma))|numero(?: completo)? (?:della|di) (?:sua |tua )?carta|dati della (?:sua |tua )?carta"
            r"|credenziali",
        ),
        (
            r"wat (?:is|zijn|was)|welke?|ge(?:ef|ven)|st(?:uur|uren)|noem|doorgeven|vertel|bevestig|nodig|delen|laat"
            r"|antwoord",
            r"wachtwoord\w*|(?:beveiligings|verificatie|inlog|toegangs|bevestigings|sms|pin|cvc)-?code"
            r"|eenmalige code|(?:credit)?(?:kaart|card)nummer|kaartgegevens|inloggegevens",
        ),
        (
            r"qual (?:é|era)|quais são|diga|dizer|envi|inform|confirm|precis|forne[cç]|compartilh|partilh|mand"
            r"|respond",
            r"senhas?|palavras?-passe|códigos? (?:secreto|sms|pin|que|de (?:segurança|verificação|acesso"
            r"|confirmação))|número(?: completo)? do (?:seu )?cartão|dados do (?:seu )?cartão",
        ),
    )
)
_ELSEWHERE = re.compile(
    r"\b(?:парол|пин-?код|код[а-я]* из (?:смс|sms)|номер[а-я]* карты|hasł[oa]|haseł|numer karty|kod (?:sms|pin|cvv)"
    r"|lösenord|adgangskode|passord|kortnummer|şifre|parola|salasana)|パスワード|暗証番号|認証コード|カード番号"
    r"|密码|密碼|验证码|驗證碼|卡号|卡號|비밀번호|인증번호|카드 ?번호|كلمة المرور|رمز التحقق",
    re.IGNORECASE,
)
"""Polish, Russian, the North, Turkish, Japanese, Chinese, Korean, Arabic: the word alone is enough in a question."""
# "And your PIN?": nothing is said of it, so it is asked for.
_BARE = re.compile(
    r"\W*(?:(?:and|also|und|auch|et|aussi|y|e|anche|en|ook)\s)?(?:(?:la|il|le|el|a|o)\s)?(?:your|the|ihre?|deine?"
    r"|votre|su|tu|sua|suo|tua|tuo|uw|jouw|seu)\s.{0,40}\W*",
    re.IGNORECASE,
)
_NOT_ASKED = re.compile(
    r"\b(?:never|not|don't|nie|niemals|nicht|kein\w*|jamais|pas|nunca|no|mai|non|não|nooit|niet|geen)\b",
    re.IGNORECASE,
)
# "Why not send us your password?" denies nothing, nor does "do not hesitate".
_STILL_ASKED = re.compile(f"{_QUESTION.pattern}|hesitat|zögern|hésit|dude|esit|aarzel|forget|vergess", re.IGNORECASE)
# The items of a list belong to the sentence above them.
_LIST = re.compile(r":?[ \t]{0,20}\n\s{0,20}(?:[-*•]|\d{1,2}[.)])\s{0,20}")


def question_problems(text: str, citations: Sequence[str], published: Published) -> list[str]:
    """What keeps a question from being asked. The problems do not repeat the secret that it names."""
    problems = []
    if not _QUESTION.search(text):
        problems.append("is meant to ask the customer, but has no question in it")
    if not citations and len(text) > MAX_UNSOURCED:
        problems.append(f"is a question of more than {MAX_UNSOURCED} characters that cites no article")
    sentences = re.split(r"(?<=[.!?])\s+|\n+|(?<=[\u3002\uff1f])", _LIST.sub(", ", text))
    if any(_asks_for_a_secret(sentence) and not published.says(sentence) for sentence in sentences if sentence):
        problems.append("asks the customer for what they must keep to themselves: a password, code or card number")
    return problems


def _asks_for_a_secret(sentence: str) -> bool:
    if _NOT_ASKED.search(sentence) and not _STILL_ASKED.search(sentence):
        return False
    return _ELSEWHERE.search(sentence) is not None or any(
        secret.search(sentence) and (asks.search(sentence) or _BARE.fullmatch(sentence)) for asks, secret in _LANGUAGES
    )
