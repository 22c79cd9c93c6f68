//! Where the recipients of a demonstration live, and what they are called there.
//!
//! A prefix is a mobile range of a country's numbering plan, in E.164; `digits` more
//! digits follow. Not every such number is valid in its plan, so a generator asks the
//! plan before it takes one. The names bring in the scripts that decide how many
//! characters fit into a segment.

/// A country, or a part of one.
pub(super) struct Place {
    /// `+`, the country code and the beginning of a mobile range.
    pub(super) prefix: &'static str,
    /// How many digits follow the prefix.
    pub(super) digits: u32,
    /// First names there.
    pub(super) names: &'static [&'static str],
    /// Cities there.
    pub(super) cities: &'static [&'static str],
}

const fn place(
    prefix: &'static str,
    digits: u32,
    names: &'static [&'static str],
    cities: &'static [&'static str],
) -> Place {
    Place {
        prefix,
        digits,
        names,
        cities,
    }
}

const AMHARIC: &[&str] = &["አበበ", "ሰላም", "ትዕግሥት", "ዮሐንስ", "ፍቅርተ", "ብርሃኑ", "ሀና"];
const ARABIC: &[&str] = &["ليلى", "محمد", "فاطمة", "يوسف", "نور", "عمر", "مريم"];
const CHINESE: &[&str] = &["王芳", "李伟", "张敏", "刘洋", "陈静", "赵磊"];
const CHINESE_TRADITIONAL: &[&str] = &["陳大文", "林美玲", "黃志明", "張雅婷"];
const CYRILLIC: &[&str] = &["Юлия", "Сергей", "Наталья", "Дмитрий", "Ольга", "Иван"];
const UKRAINIAN: &[&str] = &["Олена", "Їжак", "Тарас", "Ґанна", "Євген", "Соломія"];
const GREEK: &[&str] = &["Σοφία", "Γιώργος", "Ελένη", "Δημήτρης", "Χρήστος"];
const HEBREW: &[&str] = &["נועה", "יוסי", "תמר", "דוד"];
const HINDI: &[&str] = &["प्रिया", "राहुल", "अंजलि", "विजय"];
const JAPANESE: &[&str] = &["さくら", "ハルト", "結衣", "大翔"];
const KOREAN: &[&str] = &["민준", "서연", "지우", "하은"];
const THAI: &[&str] = &["สมชาย", "มาลี", "อรุณ", "ปราณี"];
const GEORGIAN: &[&str] = &["ნინო", "გიორგი", "თამარ"];
const ARMENIAN: &[&str] = &["Անի", "Արամ", "Մարիամ"];
const ENGLISH: &[&str] = &[
    "Ann",
    "O'Neil",
    "Mary Jane",
    "Zoë",
    "James",
    "Ada",
    "Sam 🌻",
];
const GERMAN: &[&str] = &["Jürgen", "Anna", "Käthe", "Weiß", "Björn", "Lea 🎉"];
const FRENCH: &[&str] = &["Zoé", "François", "Hélène", "Noël", "Chloé", "Anaïs 👩‍🚀"];
const SPANISH: &[&str] = &["José", "Íñigo", "María", "Núria", "Begoña"];
const PORTUGUESE: &[&str] = &["João", "Inês", "Conceição", "Luís", "Débora"];
const ITALIAN: &[&str] = &["Niccolò", "Giulia", "Giosuè", "Chiara"];
const POLISH: &[&str] = &["Łukasz", "Małgorzata", "Świętosława", "Zbigniew"];
const TURKISH: &[&str] = &["Çağla", "Işıl", "Ömer", "Şükrü", "Gül"];
const VIETNAMESE: &[&str] = &["Nguyễn", "Thảo", "Đức", "Phương"];
const SWAHILI: &[&str] = &["Wanjiku", "Juma", "Achieng", "Zawadi"];
const YORUBA: &[&str] = &["Ọlá", "Adébáyọ̀", "Ṣadé", "Chidi"];

/// Every place, each as likely as the others.
#[rustfmt::skip] // one a line reads as the table it is
pub(super) const PLACES: &[Place] = &[
    place("+1212", 7, ENGLISH, &["New York", "Queens"]),
    place("+1415", 7, ENGLISH, &["San Francisco", "Oakland"]),
    place("+1202", 7, ENGLISH, &["Washington, D.C."]),
    place("+4477", 8, ENGLISH, &["London", "Leeds", "Ynys Môn"]),
    place("+49151", 8, GERMAN, &["Köln", "Düsseldorf", "Berlin"]),
    place("+336", 8, FRENCH, &["Besançon", "Nîmes", "Paris"]),
    place("+346", 8, SPANISH, &["A Coruña", "Málaga", "Madrid"]),
    place("+35191", 7, PORTUGUESE, &["Évora", "Lisboa"]),
    place("+551198", 7, PORTUGUESE, &["São Paulo"]),
    place("+5255", 8, SPANISH, &["Ciudad de México"]),
    place("+3934", 8, ITALIAN, &["Forlì", "Roma"]),
    place("+4860", 7, POLISH, &["Łódź", "Kraków"]),
    place("+9053", 8, TURKISH, &["İstanbul", "Diyarbakır", "İzmir"]),
    place("+3069", 8, GREEK, &["Αθήνα", "Θεσσαλονίκη"]),
    place("+791", 8, CYRILLIC, &["Казань", "Москва"]),
    place("+38067", 7, UKRAINIAN, &["Київ", "Львів"]),
    place("+35988", 7, CYRILLIC, &["София", "Пловдив"]),
    place("+995599", 6, GEORGIAN, &["თბილისი"]),
    place("+37491", 6, ARMENIAN, &["Երևան"]),
    place("+2010", 8, ARABIC, &["القاهرة", "الإسكندرية"]),
    place("+96650", 7, ARABIC, &["الرياض", "جدة"]),
    place("+97150", 7, ARABIC, &["دبي"]),
    place("+2126", 8, ARABIC, &["فاس", "الرباط"]),
    place("+97254", 7, HEBREW, &["חיפה", "ירושלים"]),
    place("+25191", 7, AMHARIC, &["አዲስ አበባ", "ባሕር ዳር", "መቐለ"]),
    place("+2547", 8, SWAHILI, &["Nairobi", "Mombasa"]),
    place("+234803", 7, YORUBA, &["Ìbàdàn", "Lagos"]),
    place("+86138", 8, CHINESE, &["北京", "上海", "广州"]),
    place("+8869", 8, CHINESE_TRADITIONAL, &["臺北", "高雄"]),
    place("+8190", 8, JAPANESE, &["東京", "さいたま"]),
    place("+8210", 8, KOREAN, &["서울", "부산"]),
    place("+9198", 8, HINDI, &["दिल्ली", "मुंबई"]),
    place("+668", 8, THAI, &["กรุงเทพฯ", "เชียงใหม่"]),
    place("+8490", 7, VIETNAMESE, &["Hà Nội", "Đà Nẵng"]),
];
